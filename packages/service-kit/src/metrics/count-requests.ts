import type { Middleware } from 'koa';
import type { ServiceState } from '../request-context.ts';
import type { Metrics } from './create-metrics.ts';

/** Counts each request once its answer has left or its client has. */
export const countRequests = (metrics: Metrics): Middleware<ServiceState> =>
  function countRequests(ctx, next) {
    ctx.res.once('close', () => metrics.countRequest(ctx, performance.now() - ctx.state.startMs));
    return next();
  };
