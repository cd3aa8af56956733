import {
  accessLog,
  health,
  type Logger,
  problemDetails,
  type Readiness,
  requestContext,
  type ServiceState,
} from '@countersign/service-kit';
import Koa from 'koa';
import type { Forward } from './forward.ts';
import { frontPage } from './front-page.ts';

export interface AppDependencies {
  logger: Logger;
  readiness: Readiness;
  forward: Forward['forward'];
}

/** The stack of the gateway, in request order. */
export const createApp = ({ logger, readiness, forward }: AppDependencies): Koa<ServiceState> => {
  const app = new Koa<ServiceState>();
  app.use(health(readiness));
  app.use(requestContext(logger));
  app.use(accessLog);
  app.use(problemDetails());
  app.use(frontPage);
  app.use(forward);
  return app;
};
