import {
  createKoa,
  type Logger,
  problemDetails,
  requestContext,
  type ServiceState,
} from '@countersign/service-kit';
import type Koa from 'koa';
import type { Middleware } from 'koa';
import type { ActiveTable } from '../proxy/active-table.ts';
import { livePagePolicy, renderLivePage } from './live-page.ts';
import type { Metrics } from './metrics.ts';
import type { RecentRequests } from './recent-requests.ts';

export interface AdminDependencies {
  logger: Logger;
  table: () => ActiveTable;
  metrics: Metrics;
  recent: RecentRequests;
}

/** A page elsewhere must not read this port through a name that it made point here (DNS rebinding). */
const namedDirectly: Middleware = async function namedDirectly(ctx, next) {
  if (
    /^(?:localhost|[\d.]+|\[[\da-f:]+\]|[\w-]+(?:\.[\w-]+)*\.svc(?:\.cluster\.local)?)$/i.test(ctx.hostname)
  )
    await next();
  else ctx.throw(403, 'This port is asked by address.');
};

/** What an operator may see, read only: `/metrics`, `/status` and a live page. */
export const createAdminApp = ({ logger, table, metrics, recent }: AdminDependencies): Koa<ServiceState> => {
  const states = () => [...table().upstreams.values()].map((upstream) => upstream.state());
  const pages: Readonly<Record<string, Middleware>> = {
    '/': (ctx) => {
      ctx.set('Content-Security-Policy', livePagePolicy);
      ctx.set('X-Content-Type-Options', 'nosniff');
      ctx.type = 'html';
      ctx.body = renderLivePage(recent, states());
    },
    '/metrics': async (ctx) => {
      ctx.type = metrics.registry.contentType;
      ctx.body = await metrics.registry.metrics();
    },
    '/status': (ctx) => {
      ctx.body = { upstreams: states(), routes: table().routes.map(({ route }) => route) };
    },
  };
  const app = createKoa(logger);
  app.use(requestContext(logger));
  app.use(problemDetails());
  app.use(namedDirectly as Middleware<ServiceState>);
  app.use(async function admin(ctx, next) {
    const page = Object.hasOwn(pages, ctx.path) ? pages[ctx.path] : undefined;
    ctx.set('Cache-Control', 'no-store');
    if (page && (ctx.method === 'GET' || ctx.method === 'HEAD')) await page(ctx, next);
  });
  return app;
};
