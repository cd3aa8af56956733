import type { Middleware } from 'koa';
import { isAvailableIn } from '../directory/is-available.ts';
import type { EntraContext } from '../entra-context.ts';
import { StsError } from '../sts-errors/sts-error.ts';
import { findResource } from './find-resource.ts';
import { maxLoggedLength } from './resolve-client.ts';
import type { TokenState } from './token-state.ts';

/** The API's service principal in the tenant. */
export const resolveResource = (entra: EntraContext): Middleware<TokenState> =>
  function resolveResource(ctx, next) {
    const { requestedResource, tenant } = ctx.state;
    ctx.state.logFields['resource'] = requestedResource.slice(0, maxLoggedLength);
    const resource = findResource(entra, tenant.id, requestedResource);
    const application = resource && entra.directory.applicationByAppId(resource.appId);
    if (!resource || !application || !isAvailableIn(tenant.id, application)) {
      throw new StsError('unknownResource', { resource: requestedResource, tenantName: tenant.displayName });
    }
    ctx.state.logFields['resource'] = resource.appId;
    if (!resource.accountEnabled) throw new StsError('disabledResource', { resource: requestedResource });
    ctx.state.resource = resource;
    ctx.state.resourceApplication = application;
    return next();
  };
