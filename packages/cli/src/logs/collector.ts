import { recordIn } from './log-lines.ts';
import { type Span, spanOf } from './span.ts';

export interface CollectorOptions {
  /** Called with every span of a request, once it is whole. */
  onRequest: (spans: readonly Span[]) => void;
  /** Requests that are waited for at once; the oldest is given up beyond that. */
  maxOpen?: number;
  /** Spans that are kept of one request. */
  maxSpans?: number;
  /** How many further lines a request stays open after its outermost span: services log at about the same time. */
  settleLines?: number;
}

export interface Collector {
  add(line: string): void;
  /** Gives requests whose outermost span is done; called when nothing has come for a while. */
  settle(): void;
  /** Gives everything that is open. */
  end(): void;
  /** Lines that hold no record: not empty, and no JSON. */
  broken(): number;
  lines(): number;
}

/**
 * Puts the records of each request together as they come by, in memory that does not grow with their number. Inner
 * services are done before outer ones, so a request is whole soon after a span that nobody called.
 */
export const createCollector = ({
  onRequest,
  maxOpen = 5_000,
  maxSpans = 1_000,
  settleLines = 200,
}: CollectorOptions): Collector => {
  const open = new Map<string, Span[]>();
  /** Traces with their outermost span, in the order in which it came, and the line until which they wait. */
  const settling = new Map<string, number>();
  let broken = 0;
  let lines = 0;

  const close = (traceId: string): void => {
    const spans = open.get(traceId);
    open.delete(traceId);
    settling.delete(traceId);
    if (spans !== undefined) onRequest(spans);
  };
  const closeSettled = (untilLine: number): void => {
    for (const [traceId, line] of settling) {
      if (line > untilLine) return;
      close(traceId);
    }
  };
  const keep = (span: Span): void => {
    const { traceId } = span;
    const spans = open.get(traceId);
    if (spans === undefined) open.set(traceId, [span]);
    else if (spans.length < maxSpans) spans.push(span);
    if (span.parentSpanId === undefined && !settling.has(traceId)) settling.set(traceId, lines + settleLines);
    if (open.size <= maxOpen) return;
    const [oldest] = open.keys();
    if (oldest !== undefined) close(oldest);
  };

  return {
    add(line) {
      if (line === '' || line === '\r') return;
      lines += 1;
      const record = recordIn(line);
      if (record === undefined) broken += 1;
      const span = record && spanOf(record);
      if (span !== undefined) keep(span);
      closeSettled(lines);
    },
    settle: () => closeSettled(Infinity),
    end() {
      for (const traceId of open.keys()) close(traceId);
    },
    broken: () => broken,
    lines: () => lines,
  };
};
