import type { Middleware } from 'koa';

/** Discovery and keys are public and good for a day. */
export const cacheable: Middleware = function cacheable(ctx, next) {
  ctx.set('Cache-Control', 'max-age=86400, private');
  ctx.set('Access-Control-Allow-Origin', '*');
  return next();
};
