import type { Directory } from '../directory/directory.ts';
import type { Application, ServicePrincipal, Tenant } from '../directory/entities.ts';
import { stableGuid } from '../directory/stable-guid.ts';

/** Client id of Microsoft Graph in every tenant. */
export const graphAppId = '00000003-0000-0000-c000-000000000000';
/** App ID URI of Microsoft Graph. */
export const graphUri = 'https://graph.microsoft.com';
/** Where Microsoft's own applications are registered. */
const microsoftTenantId = 'f8cdef31-a31e-4b4a-93e4-5f571e91255a';

/** Graph's own ids of the permissions that provisioning needs. */
const roleIds = {
  'Application.Read.All': '9a5d68dd-52b0-4cc2-bd40-abcf44ac3a30',
  'Application.ReadWrite.All': '1bfefb4e-e0b5-418b-a88f-73c46d2cc8e9',
  'Application.ReadWrite.OwnedBy': '18a4783c-866b-4cc7-a460-3d5e5662c884',
  'AppRoleAssignment.ReadWrite.All': '06b708a9-e830-4db3-a914-8e69da51d44f',
  'Directory.Read.All': '7ab1d382-f21e-4acd-a863-ba3e13f7da61',
} as const;

/** An application permission of Graph that local-entra knows. */
export type GraphPermission = keyof typeof roleIds;

export const graphPermissions: ReadonlySet<string> = new Set(Object.keys(roleIds));

/** Graph's registration: its tokens have version 1, as they have in Entra. */
export const graphApplication = (): Application => ({
  id: stableGuid('application', microsoftTenantId, graphAppId),
  appId: graphAppId,
  tenantId: microsoftTenantId,
  owners: [],
  uniqueName: null,
  displayName: 'Microsoft Graph',
  description: null,
  signInAudience: 'AzureADMultipleOrgs',
  identifierUris: [graphUri],
  requestedAccessTokenVersion: 1,
  appRoles: Object.entries(roleIds).map(([value, id]) => ({
    id,
    value,
    displayName: value,
    description: value,
    isEnabled: true,
    allowedMemberTypes: ['Application'],
  })),
  accessTokenClaims: [],
  requiredResourceAccess: [],
  passwordCredentials: [],
  keyCredentials: [],
  federatedIdentityCredentials: [],
  tokenLifetimeSeconds: null,
  refreshInSeconds: null,
  other: {},
  createdMs: 0,
});

/** Makes Graph present in a tenant, so that it can be called and granted. */
export const addGraphTo = (directory: Directory, tenant: Tenant): ServicePrincipal => {
  const principal: ServicePrincipal = {
    id: stableGuid('service principal', tenant.id, graphAppId),
    appId: graphAppId,
    tenantId: tenant.id,
    owners: [],
    displayName: 'Microsoft Graph',
    accountEnabled: true,
    appRoleAssignmentRequired: false,
    servicePrincipalType: 'Application',
    alternativeNames: [],
    other: {},
    createdMs: 0,
  };
  directory.addServicePrincipal(principal);
  return principal;
};
