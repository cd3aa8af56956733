import type { Span } from './span.ts';

/** One request through all services. */
export interface Trace {
  id: string;
  roots: readonly SpanNode[];
  /** By service: milliseconds by which its clock is ahead of its caller's, where times cannot be right otherwise. */
  skews: ReadonlyMap<string, number>;
  /** The innermost span that failed: the others only pass its failure on. */
  culprit: SpanNode | undefined;
  startMs: number;
  durationMs: number;
}

export interface SpanNode {
  span: Span;
  /** By the clock of the outermost service. */
  startMs: number;
  children: readonly SpanNode[];
}

export const hasFailed = ({ status }: Span): boolean => status === undefined || status >= 400;

interface Bounds {
  least: number;
  most: number;
}

/** Less than the clock of a log shows. */
const negligibleMs = 2;
/** A service notes its end when its client has closed: that may be later than the client's own end. */
const lateEndMs = 20;

/**
 * How far a service's clock is off: each of its spans has to lie within the one that called it. Where all do nothing is
 * corrected; else they are put in the middle of where they can be (Jaeger's rule).
 */
const shiftOf = (bounds: readonly Bounds[]): number => {
  const least = Math.max(...bounds.map((each) => each.least));
  const most = Math.min(...bounds.map((each) => each.most));
  return least <= negligibleMs && most >= -lateEndMs ? 0 : (least + most) / 2;
};

const byStart = (left: SpanNode, right: SpanNode): number => left.startMs - right.startMs;

/** Makes a tree of spans, with one clock. */
export const buildTrace = (spans: readonly Span[]): Trace => {
  const bySpanId = new Map(spans.map((span) => [span.spanId, span]));
  const parentOf = (span: Span): Span | undefined =>
    span.parentSpanId === undefined || span.parentSpanId === span.spanId
      ? undefined
      : bySpanId.get(span.parentSpanId);
  const shifts = new Map<string, number>();
  const skews = new Map<string, number>();

  /** Services are settled from the outside in, each once. */
  const settle = (service: string): void => {
    const bounds = spans
      .filter((span) => span.service === service)
      .flatMap((span): Bounds[] => {
        const parent = parentOf(span);
        const parentShift = parent && shifts.get(parent.service);
        if (parent === undefined || parentShift === undefined || parent.service === service) return [];
        const parentStart = parent.startMs + parentShift;
        return [
          {
            least: parentStart - span.startMs,
            most: parentStart + parent.durationMs - (span.startMs + span.durationMs),
          },
        ];
      });
    const shift = bounds.length === 0 ? 0 : shiftOf(bounds);
    const isReal = Math.abs(shift) > negligibleMs;
    shifts.set(service, isReal ? shift : 0);
    if (isReal) skews.set(service, -shift);
  };
  let open = new Set(spans.map(({ service }) => service));
  while (open.size > 0) {
    const outermost = [...open].filter((service) =>
      spans.every((span) => {
        const parent = parentOf(span);
        return span.service !== service || !parent || parent.service === service || !open.has(parent.service);
      }),
    );
    // Services that call each other in a circle are taken as they come.
    const next = outermost.length > 0 ? outermost : [...open].slice(0, 1);
    for (const service of next) settle(service);
    open = new Set([...open].filter((service) => !next.includes(service)));
  }

  const childrenOf = Map.groupBy(
    spans.filter((span) => parentOf(span) !== undefined),
    (span) => span.parentSpanId,
  );
  const seen = new Set<Span>();
  const node = (span: Span): SpanNode => {
    seen.add(span);
    const children = (childrenOf.get(span.spanId) ?? []).filter((child) => !seen.has(child)).map(node);
    return {
      span,
      startMs: span.startMs + (shifts.get(span.service) ?? 0),
      children: children.toSorted(byStart),
    };
  };
  const roots = spans.filter((span) => parentOf(span) === undefined).map(node);
  // Spans that name each other as parents have no root: they are shown all the same.
  for (const span of spans) if (!seen.has(span)) roots.push(node(span));
  roots.sort(byStart);

  const all = roots.flatMap(flatten);
  const startMs = Math.min(...all.map((each) => each.startMs));
  const endMs = Math.max(...all.map((each) => each.startMs + each.span.durationMs));
  return {
    id: spans[0]?.traceId ?? '',
    roots,
    skews,
    culprit: culpritOf(roots),
    startMs,
    durationMs: endMs - startMs,
  };
};

export const flatten = (node: SpanNode): SpanNode[] => [node, ...node.children.flatMap(flatten)];

/** Down the failures: of the last root that failed, since a retry that worked mends what was before it. */
const culpritOf = (nodes: readonly SpanNode[]): SpanNode | undefined => {
  const failed = nodes.findLast(({ span }) => hasFailed(span));
  return failed && (culpritOf(failed.children) ?? failed);
};
