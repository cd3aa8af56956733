import {
  accessLog,
  health,
  problemDetails,
  requestContext,
  type Logger,
  type Readiness,
  type ServiceState,
} from '@countersign/service-kit';
import Koa from 'koa';
import { emulatorHeader } from './emulator-header.ts';
import type { EntraContext } from './entra-context.ts';
import { graphRoutes, stsRoutes } from './routes.ts';

export const createApp = (entra: EntraContext, logger: Logger, readiness: Readiness): Koa<ServiceState> => {
  const app = new Koa<ServiceState>();
  app.use(requestContext(logger));
  app.use(emulatorHeader);
  app.use(health(readiness));
  app.use(accessLog);
  app.use(problemDetails());
  app.use(graphRoutes(entra).routes());
  app.use(stsRoutes(entra).routes());
  app.on('error', (error: unknown) => logger.error({ err: error }, 'answering failed'));
  return app;
};
