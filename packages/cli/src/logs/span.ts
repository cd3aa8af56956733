import type { LogRecord } from './log-lines.ts';

/** A part of a request inside one service, such as taking a token; times in milliseconds from the span's start. */
export interface SpanStep {
  name: string;
  atMs: number;
  durationMs: number;
  /** Such as `hit`, `miss` or a status. */
  outcome: string | undefined;
}

/** One request at one service: its completion record. */
export interface Span {
  service: string;
  traceId: string;
  spanId: string;
  parentSpanId: string | undefined;
  requestId: string;
  /** Milliseconds since 1970, by the clock of the service. */
  startMs: number;
  durationMs: number;
  method: string;
  route: string;
  path: string;
  /** Undefined when the client left before there was one. */
  status: number | undefined;
  /** Client id of the calling application. */
  azp: string | undefined;
  /** Why it was refused or failed. */
  cause: string | undefined;
  /** What else it says. */
  record: LogRecord;
}

const text = (value: unknown): string | undefined =>
  typeof value === 'string' && value !== '' ? value : typeof value === 'number' ? String(value) : undefined;

const number = (value: unknown): number | undefined =>
  typeof value === 'number' && Number.isFinite(value) ? value : undefined;

/** What services log of a refusal, in the order in which it says most. */
const reasonFields = ['check', 'explanation', 'reason', 'detail', 'cause', 'upstream_error'] as const;

const causeOf = (record: LogRecord): string | undefined => {
  const status = record['http.response.status_code'];
  if (typeof status === 'number' && status < 400 && record['aborted'] !== true) return undefined;
  const kind = text(record['error.type']);
  const { message } = Object(record['err']) as { message?: unknown };
  const reason = reasonFields.map((name) => text(record[name])).find(Boolean) ?? text(message);
  const aadsts = number(record['aadsts']);
  const parts = [kind, aadsts === undefined ? undefined : `AADSTS${aadsts}`, reason].filter(Boolean);
  if (parts.length > 0) return parts.join(': ');
  return record['aborted'] === true ? 'the client left' : undefined;
};

/** As docs/cli.md describes `steps`. */
const givenSteps = (value: readonly unknown[]): SpanStep[] =>
  value.flatMap((each: unknown) => {
    const { name, at_ms: at, duration_ms: duration, outcome } = Object(each) as Record<string, unknown>;
    const [atMs, durationMs] = [number(at), number(duration)];
    return typeof name === 'string' && atMs !== undefined && durationMs !== undefined
      ? [{ name, atMs, durationMs, outcome: text(outcome) }]
      : [];
  });

/** What records say without `steps`: how long, and not when. Each is put behind the one before it. */
const knownSteps = (record: LogRecord): SpanStep[] => {
  const steps: SpanStep[] = [];
  const add = (name: string, atMs: number, durationMs: number | undefined, outcome?: string): void => {
    if (durationMs !== undefined) steps.push({ name, atMs, durationMs, outcome });
  };
  const fromCache = record['token_from_cache'];
  const tokenMs = number(record['token_duration_ms']);
  const upstreamMs = number(record['upstream_duration_ms']);
  const outcome = fromCache === true ? 'cache hit' : fromCache === false ? 'cache miss' : undefined;
  add('token', 0, tokenMs, outcome);
  add('call of records-api', tokenMs ?? 0, number(record['records_api_duration_ms']));
  if (upstreamMs !== undefined) {
    const atMs = Math.max(0, (number(record['duration_ms']) ?? 0) - upstreamMs);
    add(`upstream ${text(record['upstream']) ?? ''}`.trimEnd(), atMs, upstreamMs);
  }
  return steps;
};

/** The parts of a span, as its service says them. */
export const stepsOf = ({ record }: Span): SpanStep[] => {
  const { steps } = record;
  const given = Array.isArray(steps) ? givenSteps(steps) : [];
  return given.length > 0 ? given : knownSteps(record);
};

/** The span that a record completes; undefined for records of other things. */
export const spanOf = (record: LogRecord): Span | undefined => {
  const method = record['http.request.method'];
  const durationMs = number(record['duration_ms']);
  const traceId = text(record['trace_id']);
  const spanId = text(record['span_id']);
  if (
    typeof method !== 'string' ||
    durationMs === undefined ||
    traceId === undefined ||
    spanId === undefined
  ) {
    return undefined;
  }
  const startMs = Date.parse(String(record['start'] ?? record['time']));
  if (Number.isNaN(startMs)) return undefined;
  const path = text(record['url.path']) ?? '';
  return {
    service: text(record['service.name']) ?? 'unknown',
    traceId,
    spanId,
    parentSpanId: text(record['parent_span_id']),
    requestId: text(record['request_id']) ?? '',
    startMs,
    durationMs,
    method,
    route: text(record['http.route']) ?? path,
    path,
    status: number(record['http.response.status_code']),
    azp: text(record['azp']),
    cause: causeOf(record),
    record,
  };
};
