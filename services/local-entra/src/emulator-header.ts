import type { Middleware } from 'koa';

/** Each answer says that it is not Microsoft's. */
export const emulatorHeader: Middleware = function emulatorHeader(ctx, next) {
  ctx.set('X-Local-Entra', 'emulator');
  return next();
};
