import type { Middleware, ParameterizedContext } from 'koa';
import { withoutTokens } from './logger.ts';
import { logIds, type ServiceState } from './request-context.ts';

/**
 * Logs one completion record per request, once its answer has left or its client has. It holds the ids of the
 * request, method, route, path without query, status, start, duration, and what the stack added to `logFields`.
 */
export const accessLog: Middleware<ServiceState> = function accessLog(ctx, next) {
  const startMs = performance.now();
  ctx.res.once('close', () => logCompletion(ctx, performance.now() - startMs));
  return next();
};

/** Logs that a request is over, now. @param ms since it began */
export const logCompletion = (ctx: ParameterizedContext<ServiceState>, ms: number): void => {
  const { req, res, state } = ctx;
  const { statusCode: status, headersSent } = res;
  const complete = isComplete(res);
  const record: Record<string, unknown> = {
    ...logIds(state.requestContext),
    start: new Date(Date.now() - ms).toISOString(),
    duration_ms: Math.round(ms * 1_000) / 1_000,
    'http.request.method': req.method,
    // @koa/router leaves the pattern that matched here.
    'http.route': (ctx as { _matchedRoute?: unknown })._matchedRoute,
    'url.path': loggedPath(req.url as string),
    // A client that left before the head never saw the status that was on its way.
    'http.response.status_code': headersSent ? status : undefined,
  };
  if (!complete) record['aborted'] = true;
  Object.assign(record, state.logFields);
  // 501 is the client's method, not the server's fault.
  const level = headersSent && status >= 500 && status !== 501 ? 'error' : 'info';
  state.logPlainly(level, record, complete ? 'request completed' : 'request aborted');
};

/** Responses of HTTP/2 do not know whether they are finished; their streams do. */
const isComplete = (response: { writableFinished?: boolean; stream?: { rstCode: number } }): boolean =>
  response.writableFinished ?? response.stream?.rstCode === 0;

/** People paste tokens where ids belong. */
const loggedPath = (url: string): string => {
  const queryAt = url.indexOf('?');
  const path = (queryAt === -1 ? url : url.slice(0, queryAt)).slice(0, 1_024);
  return path.includes('eyJ') ? withoutTokens(path) : path;
};
