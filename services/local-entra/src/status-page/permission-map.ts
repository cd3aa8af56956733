import type { Directory } from '../directory/directory.ts';
import type { ServicePrincipal, Tenant } from '../directory/entities.ts';

/** One caller's roles on one API. */
export interface Permission {
  caller: ServicePrincipal;
  api: ServicePrincipal;
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
): Permission[] => {
  const rolesByApi = new Map<ServicePrincipal, string[]>();
  for (const { resourceId, appRoleId } of directory.assignmentsOf(caller.id)) {
    const api = apis.get(resourceId);
    if (!api) continue;
    const role = directory.applicationByAppId(api.appId)?.appRoles.find(({ id }) => id === appRoleId);
    rolesByApi.set(api, [...(rolesByApi.get(api) ?? []), role?.value ?? 'access without a role']);
  }
  return [...rolesByApi].map(([api, roles]) => ({ caller, api, roles }));
};

/**
 * Collects who may call what. An API that nobody may call is shown, but for Microsoft Graph.
 *
 * @param limit how many callers, and how many APIs, at most.
 */
export const permissionMap = (directory: Directory, tenant: Tenant, limit: number): PermissionMap => {
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
    permissions: callers.flatMap((caller) => permissionsOf(directory, caller, apisById)),
    leftOut: allCallers.length - callers.length + allApis.length - apis.length,
  };
};
