import { ProblemError, propagationHeaders, type ServiceState } from '@countersign/service-kit';
import type { Middleware } from 'koa';
import { Pool } from 'undici';
import { exchange } from './exchange.ts';
import type { RouteTable } from './route-table.ts';

export interface ForwardOptions {
  routes: RouteTable;
  /** Origins of the upstreams, by the name that routes use. */
  upstreams: ReadonlyMap<string, string>;
  /** How long an upstream may take to the head of its answer, and then between two pieces of it, in milliseconds. */
  timeoutMs: number;
}

export interface Forward {
  forward: Middleware<ServiceState>;
  /** Closes the connections to the upstreams. */
  close: () => Promise<void>;
}

// What one server reads as a step up, a separator or an end, another reads as a letter: such a path has two meanings.
const ambiguousPath = /(?:^|\/)(?:\.|%2e){1,2}(?:\/|$)|%2f|%5c|%00|[\\#;]|\/\//i;

/** Forwards what the route table names, and leaves the rest to the next middleware. */
export const createForward = ({ routes, upstreams, timeoutMs }: ForwardOptions): Forward => {
  const pools = new Map(
    [...upstreams].map(([name, origin]) => [
      name,
      new Pool(origin, {
        headersTimeout: timeoutMs,
        bodyTimeout: timeoutMs,
        connect: { timeout: timeoutMs },
      }),
    ]),
  );

  const forward: Middleware<ServiceState> = async function forward(ctx, next) {
    const path = (ctx.req.url as string).split('?', 1)[0] as string;
    if (!path.startsWith('/') || ambiguousPath.test(path)) {
      throw new ProblemError('The path of this request can be read in two ways.', {
        status: 400,
        code: 'invalid_request',
      });
    }
    const route = routes(path);
    const dispatcher = route && pools.get(route.upstream);
    if (!route || !dispatcher) {
      await next();
      return;
    }
    Object.assign(ctx.state.logFields, { 'http.route': route.path, upstream: route.upstream });
    ctx.respond = false;
    try {
      await exchange({
        dispatcher,
        upstream: route.upstream,
        request: ctx.req,
        response: ctx.res,
        headers: {
          ...propagationHeaders(ctx.state.requestContext),
          'x-forwarded-for': ctx.req.socket.remoteAddress ?? 'unknown',
          'x-forwarded-host': ctx.req.headers.host ?? '',
          'x-forwarded-proto': 'http',
        },
      });
    } catch (error) {
      // Nothing has left yet: the error's answer is Koa's to give.
      ctx.respond = true;
      throw error;
    }
  };

  const close = async (): Promise<void> => {
    await Promise.all([...pools.values()].map((pool) => pool.close()));
  };
  return { forward, close };
};
