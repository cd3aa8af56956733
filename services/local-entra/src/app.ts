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
import { logStackErrors } from './log-stack-errors.ts';
import { emulatorHeader } from './emulator-header.ts';
import type { EntraContext } from './entra-context.ts';
import { graphRoutes, pageRoutes, stsRoutes } from './routes.ts';
import type { Controls } from './weather/controls.ts';
import { strikeFaults } from './weather/strike-faults.ts';

export interface AppInput {
  entra: EntraContext;
  controls: Controls;
  logger: Logger;
  readiness: Readiness;
}

export const createApp = ({ entra, controls, logger, readiness }: AppInput): Koa<ServiceState> => {
  const app = new Koa<ServiceState>();
  app.use(requestContext(logger));
  app.use(emulatorHeader);
  app.use(health(readiness));
  app.use(accessLog);
  app.use(controls.requests.record);
  app.use(problemDetails());
  app.use(strikeFaults(controls.faults));
  app.use(pageRoutes(entra, controls).routes());
  app.use(graphRoutes(entra).routes());
  app.use(stsRoutes(entra).routes());
  app.on('error', logStackErrors(logger));
  return app;
};
