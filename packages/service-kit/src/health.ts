import type { Middleware } from 'koa';

/** Rejects or throws when what it looks at cannot be used now. */
export type ReadinessCheck = () => Promise<void> | void;

/** Whether a service takes work: flipped off when it starts to drain. */
export interface Readiness {
  accepting: boolean;
}

/**
 * `GET /healthz`: the process answers. `GET /readyz`: it takes work and every check passes, else 503 with the names
 * of those that failed. Neither is logged; put it before the access log.
 */
export const health = (
  readiness: Readiness,
  checks: Readonly<Record<string, ReadinessCheck>> = {},
): Middleware =>
  async function health(ctx, next) {
    if (ctx.path !== '/healthz' && ctx.path !== '/readyz') {
      await next();
      return;
    }
    ctx.set('Cache-Control', 'no-store');
    if (ctx.path === '/healthz') {
      ctx.body = { status: 'live' };
      return;
    }
    const names = Object.keys(checks);
    const results = await Promise.allSettled(names.map(async (name) => checks[name]?.()));
    const failed = names.filter((_, index) => results[index]?.status === 'rejected');
    if (!readiness.accepting) failed.unshift('draining');
    ctx.status = failed.length === 0 ? 200 : 503;
    ctx.body = failed.length === 0 ? { status: 'ready' } : { status: 'not ready', failed };
  };
