import { recordIn } from './log-lines.ts';
import { type Span, spanOf } from './span.ts';

export interface CollectorOptions {
  /** Called with every span of a request, once it is whole. */
  onRequest: (spans: readonly Span[]) => void;
  /** So many characters of log may lie between the records of a request. Default 16 Mi. */
  windowCharacters?: number;
  /** Records that are kept of one request. */
  maxRecords?: number;
  /**
   * How many further lines a request stays open after its outermost record, where services log at about the same time.
   * Default: as many as the window has, since sources may come one after the other.
   */
  settleLines?: number;
  /** Milliseconds, to give up those in good time whose outermost record does not come. */
  clock?: () => number;
}

export interface Collector {
  add(line: string): void;
  /** Called when nothing comes for a while: gives the requests that are whole. */
  settle(): void;
  /** Gives everything that is open. */
  end(): void;
  /** Lines that hold no record: not empty, and no JSON. */
  broken(): number;
  lines(): number;
}

interface OpenRequest {
  traceId: string;
  /** As they came: those that wait are parsed when all are there, which spares the garbage collector most work. */
  lines: string[];
  sinceMs: number;
  sinceCharacter: number;
}

/** So long a request may take, before what is there of it is shown. */
const patienceMs = 60_000;

/** What a line says, before it is parsed. */
const isCompletion = /"duration_ms"/;
const traceIn = /"trace_id"\s*:\s*"((?:[^"\\]|\\.)+)"/;
const serviceIn = /"service\.name"\s*:\s*"([^"\\]+)"/;

/**
 * Puts the records of each request together as they come by, in memory that does not grow with their number. Inner
 * services are done before outer ones, so a request is whole soon after its outermost record: one of a service that
 * nobody called, or somebody who does not log here.
 */
export const createCollector = ({
  onRequest,
  windowCharacters = 16 * 1024 * 1024,
  maxRecords = 1_000,
  settleLines = Infinity,
  clock = () => 0,
}: CollectorOptions): Collector => {
  const open = new Map<string, OpenRequest>();
  /** From the oldest on. Kept, since a map is slow to find its first entry behind many that were deleted. */
  let queue = open.values();
  let oldest: OpenRequest | undefined;
  /** Traces with their outermost record, in the order in which it came, and the line until which they wait. */
  const settling = new Map<string, number>();
  /** Services that others were seen to call: their records are not the outermost ones. */
  const called = new Set<string>();
  let broken = 0;
  let lines = 0;
  let characters = 0;

  const parse = (line: string): Span | undefined => {
    const record = recordIn(line);
    if (record === undefined) broken += 1;
    return record && spanOf(record);
  };
  const learn = (spans: readonly Span[]): void => {
    const ids = new Set(spans.map(({ spanId }) => spanId));
    for (const { service, parentSpanId } of spans) if (ids.has(parentSpanId ?? '')) called.add(service);
  };
  const close = ({ traceId, lines: own }: OpenRequest): void => {
    open.delete(traceId);
    settling.delete(traceId);
    const spans: Span[] = [];
    for (const line of own) {
      const span = parse(line);
      if (span !== undefined) spans.push(span);
    }
    if (settleLines < Infinity) learn(spans);
    if (spans.length > 0) onRequest(spans);
  };
  const closeSettled = (untilLine: number): void => {
    for (const [traceId, line] of settling) {
      if (line > untilLine) return;
      close(open.get(traceId) as OpenRequest);
    }
  };
  const closeBehind = (character: number): void => {
    while (oldest === undefined || oldest.sinceCharacter < character) {
      if (oldest !== undefined && open.get(oldest.traceId) === oldest) close(oldest);
      const next = queue.next();
      oldest = next.value;
      if (!next.done) continue;
      queue = open.values();
      return;
    }
  };
  const isOutermost = (line: string): boolean =>
    !line.includes('"parent_span_id"') || !called.has(serviceIn.exec(line)?.[1] ?? '');

  return {
    add(line) {
      if (line === '' || line === '\r') return;
      lines += 1;
      characters += line.length;
      const traceId = isCompletion.test(line) ? traceIn.exec(line)?.[1] : undefined;
      if (traceId === undefined) {
        parse(line);
      } else {
        let request = open.get(traceId);
        if (request === undefined) {
          request = { traceId, lines: [], sinceMs: clock(), sinceCharacter: characters };
          open.set(traceId, request);
        }
        if (request.lines.length < maxRecords) request.lines.push(line);
        if (settleLines < Infinity && !settling.has(traceId) && isOutermost(line)) {
          settling.set(traceId, lines + settleLines);
        }
      }
      if (settleLines < Infinity) closeSettled(lines);
      closeBehind(characters - windowCharacters);
    },
    settle() {
      closeSettled(Infinity);
      for (const request of open.values()) {
        if (settleLines < Infinity && clock() - request.sinceMs < patienceMs) return;
        close(request);
      }
    },
    end() {
      for (const request of open.values()) close(request);
    },
    broken: () => broken,
    lines: () => lines,
  };
};
