import { keptApplicationProperties, keptServicePrincipalProperties } from './application-body.ts';
import type { GraphProperties } from './query-options.ts';

/** What `$select` and `$filter` can name of an application. */
export const applicationProperties: GraphProperties = new Set([
  ...keptApplicationProperties,
  'id',
  'appId',
  'uniqueName',
  'displayName',
  'description',
  'createdDateTime',
  'deletedDateTime',
  'signInAudience',
  'identifierUris',
  'api',
  'api/acceptMappedClaims',
  'api/knownClientApplications',
  'api/requestedAccessTokenVersion',
  'appRoles',
  'optionalClaims',
  'publisherDomain',
  'requiredResourceAccess',
  'passwordCredentials',
  'keyCredentials',
  'web/homePageUrl',
  'web/logoutUrl',
  'web/redirectUris',
]);

/** The same of a service principal. */
export const servicePrincipalProperties: GraphProperties = new Set([
  ...keptServicePrincipalProperties,
  'id',
  'appId',
  'appDisplayName',
  'displayName',
  'accountEnabled',
  'appDescription',
  'appOwnerOrganizationId',
  'appRoleAssignmentRequired',
  'appRoles',
  'createdDateTime',
  'deletedDateTime',
  'disabledByMicrosoftStatus',
  'info',
  'keyCredentials',
  'oauth2PermissionScopes',
  'passwordCredentials',
  'servicePrincipalNames',
  'servicePrincipalType',
  'signInAudience',
]);

/** The same of a federated identity credential. */
export const federatedCredentialProperties: GraphProperties = new Set([
  'id',
  'name',
  'issuer',
  'subject',
  'audiences',
  'description',
]);

/** The same of a granted role. */
export const assignmentProperties: GraphProperties = new Set([
  'id',
  'appRoleId',
  'createdDateTime',
  'deletedDateTime',
  'principalDisplayName',
  'principalId',
  'principalType',
  'resourceDisplayName',
  'resourceId',
]);
