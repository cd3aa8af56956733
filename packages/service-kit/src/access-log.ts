import type { Middleware } from 'koa';
import type { ServiceState } from './request-context.ts';

/**
 * Logs one completion record per request, once its answer has left or its client has. It holds the ids of the
 * request, method, route, path without query, status, start, duration, and what the stack added to `logFields`.
 */
export const accessLog: Middleware<ServiceState> = function accessLog(ctx, next) {
  const start = new Date();
  const startMs = performance.now();
  ctx.res.once('close', () => {
    const status = ctx.res.statusCode;
    const complete = ctx.res.writableFinished;
    const record = {
      start: start.toISOString(),
      duration_ms: Math.round((performance.now() - startMs) * 1000) / 1000,
      'http.request.method': ctx.method,
      // @koa/router leaves the pattern that matched here.
      'http.route': (ctx as { _matchedRoute?: unknown })._matchedRoute,
      'url.path': ctx.path,
      'http.response.status_code': status,
      ...(!complete && { aborted: true }),
      ...ctx.state.logFields,
    };
    const level = status >= 500 ? 'error' : 'info';
    ctx.state.log[level](record, complete ? 'request completed' : 'request aborted');
  });
  return next();
};
