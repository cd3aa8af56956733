import {
  accessLog,
  createKoa,
  health,
  problemDetails,
  requestContext,
  type Logger,
  type Readiness,
  type ServiceState,
} from '@countersign/service-kit';
import type Koa from 'koa';
import { emulatorHeader } from './emulator-header.ts';
import type { EntraContext } from './entra-context.ts';
import { maskLog } from './mask-log.ts';
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
  const app = createKoa(logger);
  app.use(requestContext(logger));
  app.use(emulatorHeader);
  // Whoever compares clocks sees the one that tokens are dated by.
  app.use(function date(ctx, next) {
    ctx.set('Date', new Date(entra.clock()).toUTCString());
    return next();
  });
  app.use(health(readiness, {}, logger));
  app.use(maskLog);
  app.use(accessLog);
  app.use(controls.requests.record);
  app.use(problemDetails());
  app.use(strikeFaults(entra, controls.faults));
  app.use(pageRoutes(entra, controls).routes());
  app.use(graphRoutes(entra).routes());
  app.use(stsRoutes(entra).routes());
  return app;
};
