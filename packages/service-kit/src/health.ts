import type { Middleware } from 'koa';
import type { Logger } from './logger.ts';

/** Rejects or throws when what it looks at cannot be used now. */
export type ReadinessCheck = () => Promise<void> | void;

/** Whether a service takes work: flipped off when it starts to drain. */
export interface Readiness {
  accepting: boolean;
}

/**
 * `GET /healthz`: the process answers. `GET /readyz`: it takes work and every check passes, else 503 with the names
 * of those that failed. Requests are not logged, put it before the access log; why a check fails is, once.
 */
export const health = (
  readiness: Readiness,
  checks: Readonly<Record<string, ReadinessCheck>> = {},
  logger?: Logger,
): Middleware => {
  const failing = new Set<string>();
  const note = (name: string, result: PromiseSettledResult<void>): void => {
    if (result.status === 'fulfilled') {
      if (failing.delete(name)) logger?.info({ check: name }, 'ready again');
    } else if (!failing.has(name)) {
      failing.add(name);
      logger?.warn({ check: name, err: result.reason }, 'not ready');
    }
  };
  return async function health(ctx, next) {
    const asked = ctx.path === '/healthz' || ctx.path === '/readyz';
    if (!asked || (ctx.method !== 'GET' && ctx.method !== 'HEAD')) {
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
    for (const [index, result] of results.entries()) note(names[index] as string, result);
    const failed = names.filter((name) => failing.has(name));
    if (!readiness.accepting) failed.unshift('draining');
    ctx.status = failed.length === 0 ? 200 : 503;
    ctx.body = failed.length === 0 ? { status: 'ready' } : { status: 'not ready', failed };
  };
};
