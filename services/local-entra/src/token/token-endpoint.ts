import type { Middleware } from 'koa';
import type { EntraContext } from '../entra-context.ts';
import { StsError } from '../sts-errors/sts-error.ts';
import { authenticateClient } from './authenticate-client.ts';
import { checkGrantType, requireCredential } from './check-grant.ts';
import { issueToken } from './issue-token.ts';
import { readParameters } from './read-parameters.ts';
import { readResource } from './read-resource.ts';
import { resolveClient } from './resolve-client.ts';
import { resolveResource } from './resolve-resource.ts';
import { resolveRoles } from './resolve-roles.ts';
import { resolveTenant } from './resolve-tenant.ts';
import type { EndpointVersion, TokenState } from './token-state.ts';

/** The token endpoint (client credentials, RFC 6749 §4.4): its steps, in the order in which Entra refuses. */
export const tokenEndpoint = (entra: EntraContext, version: EndpointVersion): Middleware<TokenState>[] => [
  noStore,
  readParameters,
  requireCredential,
  resolveTenant(entra.directory),
  checkGrantType,
  resolveClient(entra.directory),
  authenticateClient(entra),
  readResource(version),
  resolveResource(entra),
  resolveRoles(entra.directory, entra.clock),
  issueToken(entra, version),
];

/** RFC 6749 §5.1, as Entra writes it. */
const noStore: Middleware = function noStore(ctx, next) {
  ctx.set('Cache-Control', 'no-store, no-cache');
  ctx.set('Pragma', 'no-cache');
  ctx.set('Expires', '-1');
  return next();
};

/** Any other method than POST. */
export const refuseMethod: Middleware = function refuseMethod(ctx) {
  ctx.set('Allow', 'POST');
  throw new StsError('wrongMethod', { method: ctx.method });
};
