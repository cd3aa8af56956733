import type { Directory } from './directory.ts';
import type { AppRole, ServicePrincipal } from './entities.ts';

/** Whether a granted role reaches tokens, and if not, why. */
export type GrantStanding = 'disabled' | 'for users only' | 'in force' | 'not known yet';

/** What one assignment amounts to now. */
export interface Grant {
  /** Undefined where access was granted, and no role in particular. */
  role: AppRole | undefined;
  standing: GrantStanding;
}

/** Whether an application can hold a role: some are for people only. */
export const isForApplications = ({ allowedMemberTypes }: Pick<AppRole, 'allowedMemberTypes'>): boolean =>
  allowedMemberTypes.includes('Application');

const standingOf = (role: AppRole | undefined, isKnown: boolean): GrantStanding => {
  if (!isKnown) return 'not known yet';
  if (!role) return 'in force';
  if (!isForApplications(role)) return 'for users only';
  return role.isEnabled ? 'in force' : 'disabled';
};

/** What a caller was granted on an API: the one rule for tokens, explanations and the status page. */
export const grantsOn = (
  directory: Directory,
  client: ServicePrincipal,
  resource: ServicePrincipal,
  nowMs: number,
): Grant[] => {
  const appRoles = directory.applicationByAppId(resource.appId)?.appRoles ?? [];
  return directory
    .assignmentsOf(client.id)
    .filter(({ resourceId }) => resourceId === resource.id)
    .map(({ appRoleId, visibleFromMs }) => {
      const role = appRoles.find(({ id }) => id === appRoleId);
      return { role, standing: standingOf(role, visibleFromMs <= nowMs) };
    });
};
