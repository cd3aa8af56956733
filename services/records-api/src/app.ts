import {
  accessLog,
  createKoa,
  health,
  type Logger,
  problemDetails,
  propagationHeaders,
  type Readiness,
  requestContext,
  type ServiceState,
} from '@countersign/service-kit';
import { authenticate, requireAppRole, type TokenVerifier } from '@countersign/shared-auth';
import type Koa from 'koa';
import type { RecordStore } from './record-store.ts';
import { recordsRouter } from './records-router.ts';

export interface AppDependencies {
  logger: Logger;
  readiness: Readiness;
  store: RecordStore;
  verifier: TokenVerifier;
}

/** Policy `AppRoleAccess`: the application role that a caller's token must hold. */
export const appRoleAccess = 'access_as_application_API1';

/** The stack of records-api, in request order. */
export const createApp = ({ logger, readiness, store, verifier }: AppDependencies): Koa<ServiceState> => {
  const records = recordsRouter(store, [
    authenticate(verifier, {
      headers: (ctx) => propagationHeaders(ctx.state.requestContext),
      onPrincipal: (ctx, { applicationId, objectId, tenantId, tokenId }) =>
        Object.assign(ctx.state.logFields, {
          azp: applicationId,
          oid: objectId,
          tid: tenantId,
          uti: tokenId,
        }),
    }),
    requireAppRole(appRoleAccess),
  ]);
  const app = createKoa(logger);
  app.use(health(readiness, { store: () => store.check(), keys: () => verifier.ready() }, logger));
  app.use(requestContext(logger));
  app.use(accessLog);
  app.use(problemDetails());
  app.use(records.routes());
  app.use(records.allowedMethods());
  return app;
};
