import type { Middleware, ParameterizedContext } from 'koa';
import { type CompletedRequest, completions, pathOf, routeOf, statusOf } from './completion.ts';
import { describeError, isoTime, withoutTokens } from './logger.ts';
import type { ServiceState } from './request-context.ts';

/**
 * Logs one completion record per request, once its answer has left or its client has. It holds the ids of the
 * request, method, route, path without query, status, start, duration, and what the stack added to `logFields`.
 */
export const accessLog: Middleware<ServiceState> = function accessLog(ctx, next) {
  ctx.res.once('close', () => logCompletion(ctx, performance.now() - ctx.state.startMs));
  return next();
};

/** Logs that a request is over, now, and tells whoever subscribed. @param ms since it began */
export const logCompletion = (ctx: ParameterizedContext<ServiceState>, ms: number): void => {
  if (completions.hasSubscribers) completions.publish({ ctx, ms } satisfies CompletedRequest);
  const { res, state } = ctx;
  const { statusCode: status, headersSent } = res;
  const complete = isComplete(res) || statusOf(ctx) === 101;
  // 501 is the client's method, not the server's fault.
  const level = headersSent && status >= 500 && status !== 501 ? 'error' : 'info';
  if (!state.logs(level)) return;
  state.logMembers(level, membersOf(ctx, ms, complete), complete ? 'request completed' : 'request aborted');
};

/**
 * The record as JSON, for there are more of these than of all others together. Ids and methods are what was checked when
 * they were read; the rest is encoded.
 */
const membersOf = (ctx: ParameterizedContext<ServiceState>, ms: number, complete: boolean): string => {
  const { req, state } = ctx;
  const { requestContext: ids, logFields } = state;
  const route = routeOf(ctx);
  const status = statusOf(ctx);
  let members = `"request_id":"${ids.requestId}","trace_id":"${ids.traceId}","span_id":"${ids.spanId}"`;
  if (ids.parentSpanId !== undefined) members += `,"parent_span_id":"${ids.parentSpanId}"`;
  members += `,"trace_flags":"${ids.traceFlags}","start":"${isoTime(Date.now() - ms)}"`;
  members += `,"duration_ms":${Math.round(ms * 1_000) / 1_000},"http.request.method":"${req.method}"`;
  if (route !== undefined) members += `,"http.route":${json(route)}`;
  members += `,"url.path":${json(pathOf(ctx))}`;
  if (status !== undefined) members += `,"http.response.status_code":${json(status)}`;
  if (!complete) members += ',"aborted":true';
  for (const name in logFields) {
    const value = logFields[name];
    if (value === undefined || ownMembers.has(name)) continue;
    members += `,${json(name)}:${json(value)}`;
  }
  return members;
};

/** Most values need no encoding, and to see that is cheaper. */
const json = (value: unknown): string => {
  if (typeof value === 'string' && needsNoEscape.test(value)) return `"${value}"`;
  if (Number.isFinite(value)) return String(value);
  try {
    return JSON.stringify(value instanceof Error ? describeError(value) : value) ?? 'null';
  } catch {
    // A BigInt or a cycle: what a record cannot say must not end the process.
    return JSON.stringify(withoutTokens(String(value)));
  }
};

/** RFC 8259 §7, of ASCII. */
const needsNoEscape = /^[ !#-[\]-~]*$/;

/** Members that are written before `logFields`: a name stands once in a record. */
const ownMembers: ReadonlySet<string> = new Set([
  ...['request_id', 'trace_id', 'span_id', 'parent_span_id', 'trace_flags', 'start', 'duration_ms'],
  ...['http.request.method', 'http.route', 'url.path', 'http.response.status_code', 'aborted'],
]);

/** Responses of HTTP/2 say that they are finished when a client cancels them; their streams know better. */
const isComplete = (response: { writableFinished: boolean; stream?: { rstCode: number } }): boolean =>
  response.stream ? response.stream.rstCode === 0 : response.writableFinished;
