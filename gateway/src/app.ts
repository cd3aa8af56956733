import {
  accessLog,
  createKoa,
  health,
  type Logger,
  problemDetails,
  type Readiness,
  requestContext,
  type ServiceState,
} from '@countersign/service-kit';
import type Koa from 'koa';
import type { Middleware } from 'koa';
import { frontPage } from './front-page.ts';

export interface AppDependencies {
  logger: Logger;
  readiness: Readiness;
  forward: Middleware<ServiceState>;
  /** Measures every request. */
  measure?: Middleware<ServiceState>;
}

/** The stack of the gateway, in request order. */
export const createApp = ({ logger, readiness, forward, measure }: AppDependencies): Koa<ServiceState> => {
  const app = createKoa(logger);
  app.use(health(readiness, {}, logger));
  app.use(requestContext(logger));
  app.use(accessLog);
  if (measure) app.use(measure);
  app.use(problemDetails());
  app.use(frontPage);
  app.use(forward);
  return app;
};
