import { UsageError } from '../command-error.ts';
import { localApplications } from '../local-system.ts';
import type { Span } from './span.ts';
import { hasFailed } from './trace.ts';

/** One line of the table. */
export interface LoggedRequest {
  startMs: number;
  method: string;
  route: string;
  path: string;
  status: number | undefined;
  durationMs: number;
  /** Client id of the application that called; where several did, the one that is nearest to the client. */
  azp: string | undefined;
  cause: string | undefined;
  traceId: string;
  requestId: string;
  services: readonly string[];
}

/** The outermost span: the one that nobody here called, and that began first. */
const outermost = (spans: readonly Span[]): Span => {
  // A million lines: most requests have one such span, and it came last.
  const last = spans.findLast(({ parentSpanId }) => parentSpanId === undefined);
  if (last !== undefined) return last;
  const ids = new Set(spans.map(({ spanId }) => spanId));
  const roots = spans.filter(({ parentSpanId }) => parentSpanId === undefined || !ids.has(parentSpanId));
  return (roots.length > 0 ? roots : spans).reduce((first, span) =>
    span.durationMs > first.durationMs ? span : first,
  );
};

export const requestOf = (spans: readonly Span[]): LoggedRequest => {
  const root = outermost(spans);
  const { startMs, method, route, path, status, durationMs, azp, cause, traceId, requestId } = root;
  // The innermost failure says why; it is the one that was logged first.
  const innermost = hasFailed(root)
    ? spans.find((span) => hasFailed(span) && span.cause !== undefined)
    : undefined;
  return {
    startMs,
    method,
    route,
    path,
    status,
    durationMs,
    azp: azp ?? spans.find((span) => span.azp !== undefined)?.azp,
    cause: innermost?.cause ?? cause,
    traceId,
    requestId,
    services: [...new Set(spans.map(({ service }) => service))],
  };
};

const localNames = new Map(Object.entries(localApplications).map(([name, id]) => [id as string, name]));

/** An application by its name where it is one of the local system's, else by its client id. */
export const applicationName = (azp: string): string => localNames.get(azp) ?? azp;

export interface FilterOptions {
  status?: string;
  azp?: string;
  slow?: string;
  since?: string;
  route?: string;
  service?: string;
  trace?: string;
}

const units: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

const durationOf = (text: string, option: string): number => {
  const [, amount, unit = 'ms'] = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)?$/.exec(text) ?? [];
  if (amount === undefined)
    throw new UsageError(`${option} has to be a time such as 200ms, 5s, 5m, 2h or 1d: ${text}`);
  return Number(amount) * (units[unit] as number);
};

const statusFilter = (text: string): ((status: number | undefined) => boolean) => {
  const parts = text.split(',').map((part) => part.trim().toLowerCase());
  for (const part of parts) {
    if (!/^([1-5](xx|\d\d)|aborted)$/.test(part)) {
      throw new UsageError(`--status has to list such as 4xx, 503 or aborted: ${text}`);
    }
  }
  return (status) => {
    const code = status === undefined ? 'aborted' : String(status);
    return parts.some(
      (part) => part === code || (part.endsWith('xx') && part[0] === code[0] && status !== undefined),
    );
  };
};

const sinceMs = (text: string, nowMs: number): number =>
  /^\d{4}-/.test(text) && !Number.isNaN(Date.parse(text))
    ? Date.parse(text)
    : nowMs - durationOf(text, '--since');

/** Which requests are shown. @throws {UsageError} for filters that cannot be meant */
export const createFilter = (
  options: FilterOptions,
  nowMs: number,
): ((request: LoggedRequest) => boolean) => {
  const conditions: ((request: LoggedRequest) => boolean)[] = [];
  const { azp, route, service, trace } = options;
  if (options.status !== undefined) {
    const passes = statusFilter(options.status);
    conditions.push(({ status }) => passes(status));
  }
  if (azp !== undefined) {
    conditions.push(
      (request) => request.azp === azp.toLowerCase() || applicationName(request.azp ?? '') === azp,
    );
  }
  if (options.slow !== undefined) {
    const least = durationOf(options.slow, '--slow');
    conditions.push(({ durationMs }) => durationMs >= least);
  }
  if (options.since !== undefined) {
    const from = sinceMs(options.since, nowMs);
    conditions.push(({ startMs }) => startMs >= from);
  }
  if (route !== undefined)
    conditions.push((request) => `${request.method} ${request.path} ${request.route}`.includes(route));
  if (service !== undefined) conditions.push(({ services }) => services.includes(service));
  if (trace !== undefined) {
    if (!/^[\w.:-]{6,128}$/.test(trace)) {
      throw new UsageError('--trace has to be a trace id or request id, at least its first six characters.');
    }
    conditions.push(({ traceId, requestId }) => traceId.startsWith(trace) || requestId.startsWith(trace));
  }
  return (request) => conditions.every((passes) => passes(request));
};
