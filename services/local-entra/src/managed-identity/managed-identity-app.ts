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
import { emulatorHeader } from '../emulator-header.ts';
import type { EntraContext } from '../entra-context.ts';
import { refuseBrowsers, refuseForwarded, requireLocalHost } from '../local-hosts.ts';
import { maskLog } from '../mask-log.ts';
import type { Controls } from '../weather/controls.ts';
import { strikeFaults } from '../weather/strike-faults.ts';
import { managedIdentityRoutes } from './managed-identity-routes.ts';

export interface ManagedIdentityAppInput {
  entra: EntraContext;
  controls: Controls;
  /** What `X-IDENTITY-HEADER` has to be. */
  identityHeader: string;
  /** Hosts by which it may be called, beside the loopback ones. */
  allowedHosts: readonly string[];
  logger: Logger;
  readiness: Readiness;
}

/** The managed identity endpoints: plain HTTP, as on Azure. */
export const createManagedIdentityApp = (input: ManagedIdentityAppInput): Koa<ServiceState> => {
  const { entra, controls, logger } = input;
  const app = createKoa(logger);
  app.use(requestContext(logger));
  app.use(emulatorHeader);
  app.use(health(input.readiness));
  app.use(maskLog);
  app.use(accessLog);
  app.use(controls.requests.record);
  app.use(problemDetails());
  app.use(requireLocalHost(input.allowedHosts));
  app.use(refuseBrowsers);
  app.use(refuseForwarded);
  app.use(strikeFaults(entra, controls.faults));
  app.use(managedIdentityRoutes(entra, input.identityHeader).routes());
  return app;
};
