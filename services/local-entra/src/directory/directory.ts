import type { Application, AppRoleAssignment, ServicePrincipal, Tenant } from './entities.ts';

/** Everything that local-entra knows of tenants, found by the ids that requests carry. */
export interface Directory {
  /** Forgets everything but foreign applications. */
  clear(): void;
  tenants(): Iterable<Tenant>;
  /** By GUID or domain, in any case. */
  findTenant(idOrDomain: string): Tenant | undefined;
  addTenant(tenant: Tenant): void;

  applications(tenantId: string): Iterable<Application>;
  applicationById(tenantId: string, id: string): Application | undefined;
  /** Of any tenant: client ids are unique in the world. */
  applicationByAppId(appId: string): Application | undefined;
  addApplication(application: Application): void;
  /** An application that is registered in no tenant of this directory. */
  addForeignApplication(application: Application): void;
  removeApplication(application: Application): void;
  /** To be called after `identifierUris` changed: tokens are asked for by them. */
  reindexApplication(application: Application): void;

  servicePrincipals(tenantId: string): Iterable<ServicePrincipal>;
  servicePrincipalById(tenantId: string, id: string): ServicePrincipal | undefined;
  servicePrincipalByAppId(tenantId: string, appId: string): ServicePrincipal | undefined;
  /** By client id or App ID URI. */
  servicePrincipalByName(tenantId: string, name: string): ServicePrincipal | undefined;
  managedIdentities(tenantId: string): readonly ServicePrincipal[];
  addServicePrincipal(principal: ServicePrincipal): void;
  removeServicePrincipal(principal: ServicePrincipal): void;

  /** What a caller was granted. */
  assignmentsOf(principalId: string): readonly AppRoleAssignment[];
  /** What was granted on an API. */
  assignmentsOn(resourceId: string): readonly AppRoleAssignment[];
  addAssignment(assignment: AppRoleAssignment): void;
  removeAssignment(assignment: AppRoleAssignment): void;
}

interface TenantIndex {
  applications: Map<string, Application>;
  principals: Map<string, ServicePrincipal>;
  principalsByAppId: Map<string, ServicePrincipal>;
  principalsByUri: Map<string, ServicePrincipal>;
  managedIdentities: ServicePrincipal[];
}

/** An empty directory, in memory. All look-ups take constant time. */
export const createDirectory = (): Directory => {
  const tenants = new Map<string, Tenant>();
  const indexes = new Map<string, TenantIndex>();
  const tenantsByDomain = new Map<string, Tenant>();
  const applicationsByAppId = new Map<string, Application>();
  const assignmentsByPrincipal = new Map<string, AppRoleAssignment[]>();
  const assignmentsByResource = new Map<string, AppRoleAssignment[]>();

  const indexOf = (tenantId: string): TenantIndex => {
    const index = indexes.get(tenantId);
    if (!index) throw new Error(`There is no tenant ${tenantId}.`);
    return index;
  };

  const forgetUris = (appId: string): void => {
    for (const { principalsByUri } of indexes.values()) {
      for (const [uri, principal] of principalsByUri)
        if (principal.appId === appId) principalsByUri.delete(uri);
    }
  };

  const learnUris = (application: Application): void => {
    for (const { principalsByAppId, principalsByUri } of indexes.values()) {
      const principal = principalsByAppId.get(application.appId);
      if (!principal) continue;
      for (const uri of application.identifierUris) learnUri(principalsByUri, uri, principal);
    }
  };

  const removeAssignment = (assignment: AppRoleAssignment): void => {
    takeOut(assignmentsByPrincipal, assignment.principalId, assignment);
    takeOut(assignmentsByResource, assignment.resourceId, assignment);
  };

  return {
    clear: () => {
      for (const { appId, tenantId } of applicationsByAppId.values()) {
        if (indexes.has(tenantId)) applicationsByAppId.delete(appId);
      }
      for (const map of [tenants, indexes, tenantsByDomain, assignmentsByPrincipal, assignmentsByResource]) {
        map.clear();
      }
    },
    tenants: () => tenants.values(),
    findTenant: (idOrDomain) => {
      const name = idOrDomain.toLowerCase();
      return tenants.get(name) ?? tenantsByDomain.get(name);
    },
    addTenant: (tenant) => {
      tenants.set(tenant.id, tenant);
      for (const domain of tenant.domains) tenantsByDomain.set(domain, tenant);
      indexes.set(tenant.id, {
        applications: new Map(),
        principals: new Map(),
        principalsByAppId: new Map(),
        principalsByUri: new Map(),
        managedIdentities: [],
      });
    },

    applications: (tenantId) => indexOf(tenantId).applications.values(),
    applicationById: (tenantId, id) => indexOf(tenantId).applications.get(id),
    applicationByAppId: (appId) => applicationsByAppId.get(appId),
    addApplication: (application) => {
      indexOf(application.tenantId).applications.set(application.id, application);
      applicationsByAppId.set(application.appId, application);
      learnUris(application);
    },
    addForeignApplication: (application) => {
      applicationsByAppId.set(application.appId, application);
    },
    removeApplication: (application) => {
      indexOf(application.tenantId).applications.delete(application.id);
      applicationsByAppId.delete(application.appId);
      forgetUris(application.appId);
    },
    reindexApplication: (application) => {
      forgetUris(application.appId);
      learnUris(application);
    },

    servicePrincipals: (tenantId) => indexOf(tenantId).principals.values(),
    servicePrincipalById: (tenantId, id) => indexOf(tenantId).principals.get(id),
    servicePrincipalByAppId: (tenantId, appId) => indexOf(tenantId).principalsByAppId.get(appId),
    servicePrincipalByName: (tenantId, name) => {
      const { principalsByAppId, principalsByUri } = indexOf(tenantId);
      return principalsByAppId.get(name.toLowerCase()) ?? principalsByUri.get(name);
    },
    managedIdentities: (tenantId) => indexOf(tenantId).managedIdentities,
    addServicePrincipal: (principal) => {
      const index = indexOf(principal.tenantId);
      index.principals.set(principal.id, principal);
      if (principal.servicePrincipalType === 'ManagedIdentity') index.managedIdentities.push(principal);
      index.principalsByAppId.set(principal.appId, principal);
      for (const uri of applicationsByAppId.get(principal.appId)?.identifierUris ?? []) {
        learnUri(index.principalsByUri, uri, principal);
      }
    },
    removeServicePrincipal: (principal) => {
      const index = indexOf(principal.tenantId);
      index.principals.delete(principal.id);
      index.managedIdentities = index.managedIdentities.filter((other) => other !== principal);
      index.principalsByAppId.delete(principal.appId);
      for (const uri of applicationsByAppId.get(principal.appId)?.identifierUris ?? []) {
        if (index.principalsByUri.get(uri) === principal) index.principalsByUri.delete(uri);
      }
      for (const assignment of [
        ...(assignmentsByPrincipal.get(principal.id) ?? []),
        ...(assignmentsByResource.get(principal.id) ?? []),
      ]) {
        removeAssignment(assignment);
      }
    },

    assignmentsOf: (principalId) => assignmentsByPrincipal.get(principalId) ?? [],
    assignmentsOn: (resourceId) => assignmentsByResource.get(resourceId) ?? [],
    addAssignment: (assignment) => {
      putIn(assignmentsByPrincipal, assignment.principalId, assignment);
      putIn(assignmentsByResource, assignment.resourceId, assignment);
    },
    removeAssignment,
  };
};

/** Who has a URI keeps it: tokens are asked for by it. */
const learnUri = (
  principals: Map<string, ServicePrincipal>,
  uri: string,
  principal: ServicePrincipal,
): void => {
  if ((principals.get(uri)?.appId ?? principal.appId) === principal.appId) principals.set(uri, principal);
};

const putIn = <Item>(lists: Map<string, Item[]>, key: string, item: Item): void => {
  const list = lists.get(key);
  if (list) list.push(item);
  else lists.set(key, [item]);
};

const takeOut = <Item>(lists: Map<string, Item[]>, key: string, item: Item): void => {
  const rest = (lists.get(key) ?? []).filter((other) => other !== item);
  if (rest.length === 0) lists.delete(key);
  else lists.set(key, rest);
};
