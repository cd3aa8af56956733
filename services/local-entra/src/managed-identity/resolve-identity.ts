import type { Middleware } from 'koa';
import type { Directory } from '../directory/directory.ts';
import type { ServicePrincipal } from '../directory/entities.ts';
import { StsError } from '../sts-errors/sts-error.ts';
import type { TokenState } from '../token/token-state.ts';
import { ManagedIdentityError } from './managed-identity-error.ts';

/** What an endpoint calls the three ways to name a user-assigned identity. */
export interface IdentityParameters {
  clientId: string;
  objectId: string;
  resourceId: string;
}

/** Marks the identity that the machine itself has, among the alternative names. */
export const systemAssigned = 'systemAssigned=True';

const allIdentities = (directory: Directory): ServicePrincipal[] =>
  [...directory.tenants()].flatMap(({ id }) => directory.managedIdentities(id));

const byDefault = (identities: readonly ServicePrincipal[]): ServicePrincipal | undefined => {
  const own = identities.find(({ alternativeNames }) => alternativeNames.includes(systemAssigned));
  if (own || identities.length < 2) return own ?? identities[0];
  throw new ManagedIdentityError(
    'invalid_request',
    'Multiple user assigned identities exist, please specify the clientId / resourceId of the identity in the token request',
  );
};

/** The identity that the request names, or the only one, or the machine's own. */
export const resolveIdentity = (directory: Directory, names: IdentityParameters): Middleware<TokenState> =>
  function resolveIdentity(ctx, next) {
    const identities = allIdentities(directory);
    const value = (name: string): string | undefined => {
      const given = ctx.query[name];
      return typeof given === 'string' && given !== '' ? given.toLowerCase() : undefined;
    };
    const [clientId, objectId, resourceId] = [
      value(names.clientId),
      value(names.objectId),
      value(names.resourceId),
    ];
    const named = [clientId, objectId, resourceId].filter((name) => name !== undefined);
    if (named.length > 1) {
      throw new ManagedIdentityError('invalid_request', 'Name the identity by one parameter, not by several');
    }
    const identity =
      named.length === 0
        ? byDefault(identities)
        : identities.find(
            (candidate) =>
              candidate.appId === clientId ||
              candidate.id === objectId ||
              candidate.alternativeNames.some((name) => name.toLowerCase() === resourceId),
          );
    const tenant = identity && directory.findTenant(identity.tenantId);
    if (!identity || !tenant) throw new ManagedIdentityError('invalid_request', 'Identity not found');
    ctx.state.tenant = tenant;
    ctx.state.client = identity;
    Object.assign(ctx.state.logFields, { azp: identity.appId, tid: tenant.id });
    if (!identity.accountEnabled) {
      throw new StsError('disabledApplication', { appId: identity.appId, appName: identity.displayName });
    }
    return next();
  };
