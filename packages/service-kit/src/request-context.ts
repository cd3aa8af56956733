import { randomFillSync, randomUUID } from 'node:crypto';
import type { Middleware } from 'koa';
import { type Logger, writeMembers } from './logger.ts';

/** Who this request is: its id, and its place in a W3C trace. All ids are lower-case hex but the request id. */
export interface RequestContext {
  requestId: string;
  traceId: string;
  /** This service's own span. */
  spanId: string;
  /** The span that called; absent where the trace starts here. */
  parentSpanId?: string;
  /** Two hex digits; bit 0 is "sampled". */
  traceFlags: string;
  traceState?: string;
}

/** What service-kit keeps in `ctx.state`. */
export interface ServiceState {
  requestContext: RequestContext;
  /** When the request began, of `performance.now()`. */
  startMs: number;
  /** A logger whose records carry the request's ids. */
  log: Logger;
  /** Fields that the completion record of this request gets on top of its own. */
  logFields: Record<string, unknown>;
  /** Whether records of this level are logged. */
  logs: (level: 'info' | 'error') => boolean;
  /** Logs a record with these members, JSON text, the ids among them. */
  logMembers: (level: 'info' | 'error', members: string, message: string) => void;
}

const requestIdPattern = /^[\w.:-]{8,128}$/;
// https://www.w3.org/TR/trace-context/#traceparent-header; a later version may append fields.
const traceparentPattern =
  /^(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;

type HeaderValue = string | string[] | undefined;

/** Reads `X-Request-Id`, `traceparent` and `tracestate`; what is missing or malformed is made anew. */
export const readRequestContext = (headers: Readonly<Record<string, HeaderValue>>): RequestContext => {
  const { 'x-request-id': requestId, traceparent, tracestate } = headers;
  const context: RequestContext = {
    requestId: typeof requestId === 'string' && requestIdPattern.test(requestId) ? requestId : randomUUID(),
    traceId: '',
    spanId: randomHex(8),
    traceFlags: '01',
  };
  const match = typeof traceparent === 'string' ? traceparentPattern.exec(traceparent) : null;
  const [, version, traceId, parentSpanId, traceFlags, more] = match ?? [];
  if (!traceId || !parentSpanId || !traceFlags || (version === '00' && more)) {
    context.traceId = randomHex(16);
    return context;
  }
  context.traceId = traceId;
  context.parentSpanId = parentSpanId;
  context.traceFlags = traceFlags;
  if (typeof tracestate === 'string' && tracestate.length <= 512) context.traceState = tracestate;
  return context;
};

// To ask the system for a few bytes each time costs more than all the rest of an id.
const entropy = Buffer.allocUnsafeSlow(4_096);
let usedEntropy = entropy.length;

const randomHex = (bytes: number): string => {
  if (usedEntropy + bytes > entropy.length) {
    randomFillSync(entropy);
    usedEntropy = 0;
  }
  usedEntropy += bytes;
  return entropy.toString('hex', usedEntropy - bytes, usedEntropy);
};

/** The headers that carry a request's id and trace to the next service. */
export const propagationHeaders = (context: RequestContext): Record<string, string> => ({
  'x-request-id': context.requestId,
  traceparent: `00-${context.traceId}-${context.spanId}-${context.traceFlags}`,
  ...(context.traceState !== undefined && { tracestate: context.traceState }),
});

/** Whether the trace is recorded (https://www.w3.org/TR/trace-context/#sampled-flag). */
export const isSampled = ({ traceFlags }: RequestContext): boolean =>
  traceFlags === '01' || (Number.parseInt(traceFlags, 16) & 1) === 1;

/** The ids as log fields, named as OpenTelemetry names them in logs that are not OTLP. */
export const logIds = (context: RequestContext): Record<string, string> => ({
  request_id: context.requestId,
  trace_id: context.traceId,
  span_id: context.spanId,
  ...(context.parentSpanId !== undefined && { parent_span_id: context.parentSpanId }),
  trace_flags: context.traceFlags,
});

/** The state of one request. Its logger is made when it is first used: most requests log their completion alone. */
export class RequestState implements ServiceState {
  readonly requestContext: RequestContext;
  readonly startMs = performance.now();
  readonly logFields: Record<string, unknown> = {};
  readonly #logger: Logger;
  #log: Logger | undefined;

  constructor(logger: Logger, requestContext: RequestContext) {
    this.#logger = logger;
    this.requestContext = requestContext;
  }

  get log(): Logger {
    this.#log ??= this.#logger.child(logIds(this.requestContext));
    return this.#log;
  }

  logs(level: 'info' | 'error'): boolean {
    return this.#logger.isLevelEnabled(level);
  }

  logMembers(level: 'info' | 'error', members: string, message: string): void {
    writeMembers(this.#logger, level, members, message);
  }
}

/** Fills `ctx.state` for the rest of the stack and answers with the request's id. Comes first. */
export const requestContext = (logger: Logger): Middleware<ServiceState> =>
  function requestContext(ctx, next) {
    const context = readRequestContext(ctx.req.headers);
    ctx.state = new RequestState(logger, context);
    ctx.set('X-Request-Id', context.requestId);
    return next();
  };
