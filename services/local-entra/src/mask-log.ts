import type { Middleware } from 'koa';
import type { ServiceState } from '@countersign/service-kit';
import { withoutSecrets } from './without-secrets.ts';

const maxPathLength = 1024;

/** Blanks tokens and secrets in all that the log is told of a request. Comes before what logs. */
export const maskLog: Middleware<ServiceState> = function maskLog(ctx, next) {
  ctx.res.once('close', () => {
    const { logFields } = ctx.state;
    for (const [name, value] of Object.entries(logFields)) {
      if (typeof value === 'string') logFields[name] = withoutSecrets(value);
    }
    // In place of the one that knows of tokens only.
    const path = withoutSecrets(ctx.path).slice(0, maxPathLength);
    if (path.includes('[secret]')) logFields['url.path'] = path;
  });
  return next();
};
