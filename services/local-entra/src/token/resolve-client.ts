import type { Middleware } from 'koa';
import type { Directory } from '../directory/directory.ts';
import { isAvailableIn } from '../directory/is-available.ts';
import { StsError } from '../sts-errors/sts-error.ts';
import type { TokenState } from './token-state.ts';

/** What a request names is logged up to this length. */
export const maxLoggedLength = 200;

const noApplication = '00000000-0000-0000-0000-000000000000';

/** The client: an application that is present in the tenant, and not switched off. */
export const resolveClient = (directory: Directory): Middleware<TokenState> =>
  function resolveClient(ctx, next) {
    const { parameters, tenant } = ctx.state;
    const appId = parameters.get('client_id');
    if (appId === undefined) throw new StsError('missingParameter', { parameter: 'client_id' });
    // Named in the log whether it exists or not: a wrong id is what somebody will look for.
    ctx.state.logFields['azp'] = appId.slice(0, maxLoggedLength);
    if (appId === noApplication) throw new StsError('invalidApplicationIdentifier', { appId });
    const client = directory.servicePrincipalByAppId(tenant.id, appId.toLowerCase());
    const application = client && directory.applicationByAppId(client.appId);
    if (!client || !application || !isAvailableIn(tenant.id, application)) {
      throw new StsError('unknownApplication', { appId, tenantName: tenant.displayName });
    }
    ctx.state.logFields['azp'] = client.appId;
    if (!client.accountEnabled) {
      throw new StsError('disabledApplication', { appId: client.appId, appName: client.displayName });
    }
    ctx.state.client = client;
    ctx.state.clientApplication = application;
    return next();
  };
