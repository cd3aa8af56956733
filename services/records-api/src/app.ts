import {
  accessLog,
  createKoa,
  health,
  type Logger,
  problemDetails,
  propagationHeaders,
  type Readiness,
  type ReadinessCheck,
  requestContext,
  type ServiceState,
} from '@countersign/service-kit';
import { authenticate, type Policy, type TokenVerifier } from '@countersign/shared-auth';
import type Koa from 'koa';
import type { Middleware } from 'koa';
import { openApiRouter } from './openapi.ts';
import type { RecordStore } from './record-store.ts';
import { recordsRouter } from './records-router.ts';
import { type ImportPace, transfers } from './transfers.ts';

export interface StackOptions {
  logger: Logger;
  /** Of this service, for its OpenAPI document. */
  version: string;
  readiness: Readiness;
  store: RecordStore;
  importPace?: ImportPace | undefined;
  /** See each request that is logged. */
  observers?: readonly Middleware<ServiceState>[] | undefined;
}

export interface AppDependencies extends StackOptions {
  verifier: TokenVerifier;
}

const readRole = { appRole: 'access_as_application_API1' };
const writeRole = { appRole: 'write_as_application_API1' };

/** Policy `AppRoleAccess`: the application role that a caller's token must hold, to read and to write. */
export const appRoleAccess: Policy = {
  byMethod: { GET: readRole, POST: writeRole, PUT: writeRole, PATCH: writeRole, DELETE: writeRole },
};

/** The application of records-api. */
export const createApp = ({ verifier, ...options }: AppDependencies): Koa<ServiceState> => {
  const guard = authenticate(verifier, {
    policy: appRoleAccess,
    headers: (ctx) => propagationHeaders(ctx.state.requestContext),
    onPrincipal: ({ state: { logFields } }, { applicationId, objectId, tenantId, tokenId }) => {
      logFields['azp'] = applicationId;
      logFields['oid'] = objectId;
      logFields['tid'] = tenantId;
      logFields['uti'] = tokenId;
    },
  });
  return createStack(options, guard, { keys: () => verifier.ready() });
};

/**
 * Its stack, in request order.
 *
 * @param guard what every request for records has to pass. Without one there is no writer for the audit: bench:system alone
 *   does without, and reads.
 * @param checks of readiness, beside the store's
 */
export const createStack = (
  { logger, version, readiness, store, importPace, observers = [] }: StackOptions,
  guard: Middleware | undefined,
  checks: Readonly<Record<string, ReadinessCheck>>,
): Koa<ServiceState> => {
  const records = recordsRouter(store, guard, transfers(store, importPace));
  const app = createKoa(logger);
  app.use(health(readiness, { store: () => store.check(), ...checks }, logger));
  app.use(requestContext(logger));
  app.use(accessLog);
  for (const observer of observers) app.use(observer);
  app.use(problemDetails());
  app.use(openApiRouter(version).routes());
  app.use(records.routes());
  app.use(records.allowedMethods());
  return app;
};
