import type { Middleware } from 'koa';
import type { Clock } from '../clock.ts';
import type { Directory } from '../directory/directory.ts';
import { StsError } from '../sts-errors/sts-error.ts';
import type { TokenState } from './token-state.ts';

/** The roles that were granted, and nothing else: what a registration asks for is only a wish. */
export const resolveRoles = (directory: Directory, clock: Clock): Middleware<TokenState> =>
  function resolveRoles(ctx, next) {
    const { client, resource, resourceApplication, requestedResource } = ctx.state;
    const nowMs = clock();
    const granted = new Set(
      directory
        .assignmentsOf(client.id)
        .filter(({ resourceId, visibleFromMs }) => resourceId === resource.id && visibleFromMs <= nowMs)
        .map(({ appRoleId }) => appRoleId),
    );
    if (granted.size === 0 && resource.appRoleAssignmentRequired) {
      throw new StsError('notAssigned', {
        appId: client.appId,
        appName: client.displayName,
        resource: requestedResource,
        resourceName: resource.displayName,
      });
    }
    ctx.state.roles = resourceApplication.appRoles.filter(
      ({ id, isEnabled }) => isEnabled && granted.has(id),
    );
    ctx.state.logFields['roles'] = ctx.state.roles.map(({ value }) => value);
    return next();
  };
