import { health, type Logger, type Readiness } from '@countersign/service-kit';
import type { GatewayMetrics } from './admin/metrics.ts';
import { frontPage } from './front-page.ts';
import { GatewayKoa } from './gateway-koa.ts';
import type { Forward } from './proxy/forward.ts';

export interface AppDependencies {
  logger: Logger;
  readiness: Readiness;
  forward: Forward;
  metrics?: GatewayMetrics | undefined;
}

/** The gateway's application: what the route table names goes by `forward`, the rest through this stack. */
export const createApp = ({ logger, readiness, forward, metrics }: AppDependencies): GatewayKoa => {
  const app = new GatewayKoa({ logger, forward, metrics });
  app.use(health(readiness, {}, logger));
  app.use(frontPage);
  return app;
};
