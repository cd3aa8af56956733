import type { Logger, ServiceState } from '@countersign/service-kit';
import { createOperatorApp, type Metrics, metricsPage } from '@countersign/service-kit/metrics';
import type Koa from 'koa';
import type { ActiveTable } from '../proxy/active-table.ts';
import { livePagePolicy, renderLivePage } from './live-page.ts';
import type { RecentRequests } from './recent-requests.ts';

export interface AdminDependencies {
  logger: Logger;
  table: () => ActiveTable;
  metrics: Metrics;
  recent: RecentRequests;
}

/** What an operator may see, read only: `/metrics`, `/status` and a live page. */
export const createAdminApp = ({ logger, table, metrics, recent }: AdminDependencies): Koa<ServiceState> => {
  const states = () => [...table().upstreams.values()].map((upstream) => upstream.state());
  return createOperatorApp(logger, {
    '/': (ctx) => {
      ctx.set('Content-Security-Policy', livePagePolicy);
      ctx.set('X-Content-Type-Options', 'nosniff');
      ctx.type = 'html';
      ctx.body = renderLivePage(recent, states());
    },
    '/metrics': metricsPage(metrics),
    '/status': (ctx) => {
      ctx.body = { upstreams: states(), routes: table().routes.map(({ route }) => route) };
    },
  });
};
