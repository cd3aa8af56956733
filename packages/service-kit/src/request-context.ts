import { randomBytes, randomUUID } from 'node:crypto';
import type { Middleware } from 'koa';
import type { Logger } from './logger.ts';

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
  /** A logger whose records carry the request's ids. */
  log: Logger;
  /** Fields that the completion record of this request gets on top of its own. */
  logFields: Record<string, unknown>;
}

const requestIdPattern = /^[\w.:-]{8,128}$/;
// https://www.w3.org/TR/trace-context/#traceparent-header; a later version may append fields.
const traceparentPattern =
  /^(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;

type HeaderValue = string | string[] | undefined;

/** Reads `X-Request-Id`, `traceparent` and `tracestate`; what is missing or malformed is made anew. */
export const readRequestContext = (headers: Readonly<Record<string, HeaderValue>>): RequestContext => {
  const requestId = headers['x-request-id'];
  const context = {
    requestId: typeof requestId === 'string' && requestIdPattern.test(requestId) ? requestId : randomUUID(),
    spanId: randomBytes(8).toString('hex'),
  };
  const { traceparent, tracestate } = headers;
  const match = typeof traceparent === 'string' ? traceparentPattern.exec(traceparent) : null;
  const [, version, traceId, parentSpanId, traceFlags, more] = match ?? [];
  if (!traceId || !parentSpanId || !traceFlags || (version === '00' && more)) {
    return { ...context, traceId: randomBytes(16).toString('hex'), traceFlags: '01' };
  }
  return {
    ...context,
    traceId,
    parentSpanId,
    traceFlags,
    ...(typeof tracestate === 'string' && tracestate.length <= 512 && { traceState: tracestate }),
  };
};

/** The headers that carry a request's id and trace to the next service. */
export const propagationHeaders = (context: RequestContext): Record<string, string> => ({
  'x-request-id': context.requestId,
  traceparent: `00-${context.traceId}-${context.spanId}-${context.traceFlags}`,
  ...(context.traceState !== undefined && { tracestate: context.traceState }),
});

/** The ids as log fields, named as OpenTelemetry names them in logs that are not OTLP. */
export const logIds = (context: RequestContext): Record<string, string> => ({
  request_id: context.requestId,
  trace_id: context.traceId,
  span_id: context.spanId,
  ...(context.parentSpanId !== undefined && { parent_span_id: context.parentSpanId }),
  trace_flags: context.traceFlags,
});

/** Fills `ctx.state` for the rest of the stack and answers with the request's id. Comes first. */
export const requestContext = (logger: Logger): Middleware<ServiceState> =>
  function requestContext(ctx, next) {
    const context = readRequestContext(ctx.req.headers);
    ctx.state.requestContext = context;
    ctx.state.log = logger.child(logIds(context));
    ctx.state.logFields = {};
    ctx.set('X-Request-Id', context.requestId);
    return next();
  };
