import type { Middleware } from 'koa';
import type { Clock } from '../clock.ts';
import type { Directory } from '../directory/directory.ts';
import { grantsOn, type Grant } from '../directory/grants.ts';
import { StsError } from '../sts-errors/sts-error.ts';
import type { TokenState } from './token-state.ts';

const why: Readonly<Record<Grant['standing'], string>> = {
  'in force': 'access is granted, and no role in particular',
  disabled: 'is disabled',
  'for users only': 'is for users only',
  'not known yet': 'is granted, and the token endpoint has not heard of it yet',
};

/** Why grants give no role, for a person; undefined where there is no grant at all. */
const explainWithout = (grants: readonly Grant[]): string | undefined =>
  grants.length === 0
    ? undefined
    : grants
        .map(({ role, standing }) => (role ? `the role ${role.value} ${why[standing]}` : why['in force']))
        .join('; ');

/** The roles that were granted, and nothing else: what a registration asks for is only a wish. */
export const resolveRoles = (directory: Directory, clock: Clock): Middleware<TokenState> =>
  function resolveRoles(ctx, next) {
    const { client, resource, resourceApplication, requestedResource, logFields } = ctx.state;
    const grants = grantsOn(directory, client, resource, clock());
    const inForce = new Set(grants.filter(({ standing }) => standing === 'in force').map(({ role }) => role));
    ctx.state.roles = resourceApplication.appRoles.filter((role) => inForce.has(role));
    const detail = ctx.state.roles.length === 0 ? explainWithout(grants) : undefined;
    const isAssigned = grants.some(({ standing }) => standing !== 'not known yet');
    if (!isAssigned && resource.appRoleAssignmentRequired) {
      const values = {
        appId: client.appId,
        appName: client.displayName,
        resource: requestedResource,
        resourceName: resource.displayName,
      };
      throw new StsError('notAssigned', values, detail);
    }
    logFields['roles'] = ctx.state.roles.map(({ value }) => value);
    if (detail !== undefined) logFields['detail'] = detail;
    return next();
  };
