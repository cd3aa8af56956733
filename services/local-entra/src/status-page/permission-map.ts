import type { Directory } from '../directory/directory.ts';
import { grantsOn, type Grant } from '../directory/grants.ts';
import type { ServicePrincipal, Tenant } from '../directory/entities.ts';

/** One caller's roles on one API. */
export interface Permission {
  caller: ServicePrincipal;
  api: ServicePrincipal;
  /** Values of the granted roles; one that reaches no token says why. */
  roles: readonly string[];
}

/** Who may call what in a tenant. */
export interface PermissionMap {
  /** Applications that have a credential, or roles on an API. */
  callers: readonly ServicePrincipal[];
  /** Applications that offer roles. */
  apis: readonly ServicePrincipal[];
  permissions: readonly Permission[];
  /** How many callers and APIs were left out, to keep the picture readable. */
  leftOut: number;
}

const isApi = (directory: Directory, principal: ServicePrincipal): boolean =>
  (directory.applicationByAppId(principal.appId)?.appRoles.length ?? 0) > 0;

const isCaller = (directory: Directory, principal: ServicePrincipal): boolean => {
  const application = directory.applicationByAppId(principal.appId);
  return (
    principal.servicePrincipalType === 'ManagedIdentity' ||
    directory.assignmentsOf(principal.id).length > 0 ||
    (application !== undefined &&
      application.passwordCredentials.length +
        application.keyCredentials.length +
        application.federatedIdentityCredentials.length >
        0)
  );
};

const permissionsOf = (
  directory: Directory,
  caller: ServicePrincipal,
  apis: ReadonlyMap<string, ServicePrincipal>,
  nowMs: number,
): Permission[] => {
  const resourceIds = new Set(directory.assignmentsOf(caller.id).map(({ resourceId }) => resourceId));
  return [...resourceIds]
    .map((id) => apis.get(id))
    .filter((api) => api !== undefined)
    .map((api) => ({ caller, api, roles: grantsOn(directory, caller, api, nowMs).map(nameOf) }));
};

const nameOf = ({ role, standing }: Grant): string => {
  const name = role?.value ?? 'access without a role';
  return standing === 'in force' ? name : `${name} (${standing})`;
};

/**
 * Collects who may call what. An API that nobody may call is shown, but for Microsoft Graph.
 *
 * @param limit how many callers, and how many APIs, at most.
 */
export const permissionMap = (
  directory: Directory,
  tenant: Tenant,
  limit: number,
  nowMs: number,
): PermissionMap => {
  const principals = [...directory.servicePrincipals(tenant.id)];
  const allCallers = principals.filter((principal) => isCaller(directory, principal));
  const allApis = principals.filter(
    (principal) =>
      isApi(directory, principal) &&
      (principal.tenantId === directory.applicationByAppId(principal.appId)?.tenantId ||
        directory.assignmentsOn(principal.id).length > 0),
  );
  const callers = allCallers.slice(0, limit);
  // The tenant's own first: lines cross less.
  const isForeign = ({ appId }: ServicePrincipal): boolean =>
    directory.applicationByAppId(appId)?.tenantId !== tenant.id;
  const apis = allApis.toSorted((a, b) => Number(isForeign(a)) - Number(isForeign(b))).slice(0, limit);
  const apisById = new Map(apis.map((api) => [api.id, api]));
  return {
    callers,
    apis,
    permissions: callers.flatMap((caller) => permissionsOf(directory, caller, apisById, nowMs)),
    leftOut: allCallers.length - callers.length + allApis.length - apis.length,
  };
};
