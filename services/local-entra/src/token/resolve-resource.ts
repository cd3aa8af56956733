import type { Middleware } from 'koa';
import type { EntraContext } from '../entra-context.ts';
import { graphUri } from '../graph/graph-registration.ts';
import { StsError } from '../sts-errors/sts-error.ts';
import type { TokenState } from './token-state.ts';

/** The API's service principal in the tenant, by App ID URI (with or without a slash at its end) or client id. */
export const resolveResource = ({ directory, origin }: EntraContext): Middleware<TokenState> =>
  function resolveResource(ctx, next) {
    const { requestedResource, tenant } = ctx.state;
    // Graph is served here, too: clients that are told its address ask for a token for that.
    const isOwnOrigin = requestedResource === origin() || requestedResource === `${origin()}/`;
    const name = isOwnOrigin ? graphUri : requestedResource;
    const resource =
      directory.servicePrincipalByName(tenant.id, name) ??
      directory.servicePrincipalByName(tenant.id, name.endsWith('/') ? name.slice(0, -1) : `${name}/`);
    const application = resource && directory.applicationByAppId(resource.appId);
    if (!resource || !application) {
      throw new StsError('unknownResource', { resource: requestedResource, tenantName: tenant.displayName });
    }
    ctx.state.logFields['resource'] = resource.appId;
    ctx.state.resource = resource;
    ctx.state.resourceApplication = application;
    return next();
  };
