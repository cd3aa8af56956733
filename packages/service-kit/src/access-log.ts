import type { Middleware } from 'koa';
import { withoutTokens } from './logger.ts';
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
    // Responses of HTTP/2 do not know whether they are finished; their streams do.
    const { writableFinished, stream } = ctx.res as {
      writableFinished?: boolean;
      stream?: { rstCode: number };
    };
    const complete = writableFinished ?? stream?.rstCode === 0;
    const record = {
      start: start.toISOString(),
      duration_ms: Math.round((performance.now() - startMs) * 1000) / 1000,
      'http.request.method': ctx.method,
      // @koa/router leaves the pattern that matched here.
      'http.route': (ctx as { _matchedRoute?: unknown })._matchedRoute,
      // People paste tokens where ids belong.
      'url.path': withoutTokens(ctx.path).slice(0, 1_024),
      // A client that left before the head never saw the status that was on its way.
      ...(ctx.res.headersSent && { 'http.response.status_code': status }),
      ...(!complete && { aborted: true }),
      ...ctx.state.logFields,
    };
    // 501 is the client's method, not the server's fault.
    const level = ctx.res.headersSent && status >= 500 && status !== 501 ? 'error' : 'info';
    ctx.state.log[level](record, complete ? 'request completed' : 'request aborted');
  });
  return next();
};
