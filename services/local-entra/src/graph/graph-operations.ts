import type { EntraContext } from '../entra-context.ts';
import { addAssignment, deleteAssignment, getAssignment, listAssignments } from './app-role-assignments.ts';
import {
  addApplication,
  deleteApplication,
  getApplication,
  listApplications,
  patchApplication,
} from './applications.ts';
import {
  addFederatedCredential,
  deleteFederatedCredential,
  getFederatedCredential,
  listFederatedCredentials,
  patchFederatedCredential,
} from './federated-credentials.ts';
import type { GraphAnswer, GraphRequest } from './graph-request.ts';
import { addPassword, removePassword } from './passwords.ts';
import {
  addServicePrincipal,
  deleteServicePrincipal,
  getServicePrincipal,
  listServicePrincipals,
  patchServicePrincipal,
} from './service-principals.ts';

/** @throws {GraphError} for everything that it refuses; the directory is as it was then. */
export type GraphOperation = (entra: EntraContext, request: GraphRequest) => GraphAnswer;

const assignments = (end: 'appRoleAssignedTo' | 'appRoleAssignments'): Record<string, GraphOperation> => ({
  [`GET servicePrincipals/{key}/${end}`]: listAssignments(end),
  [`POST servicePrincipals/{key}/${end}`]: addAssignment(end),
  [`GET servicePrincipals/{key}/${end}/{key}`]: getAssignment(end),
  [`DELETE servicePrincipals/{key}/${end}/{key}`]: deleteAssignment(end),
});

/** Everything of Graph v1.0 that there is here. `{key}` is an object id, or `(appId='…')` and the like. */
export const graphOperations: Readonly<Record<string, GraphOperation>> = {
  'GET applications': listApplications,
  'POST applications': addApplication,
  'GET applications/{key}': getApplication,
  'PATCH applications/{key}': patchApplication,
  'DELETE applications/{key}': deleteApplication,
  'POST applications/{key}/addPassword': addPassword,
  'POST applications/{key}/removePassword': removePassword,
  'GET applications/{key}/federatedIdentityCredentials': listFederatedCredentials,
  'POST applications/{key}/federatedIdentityCredentials': addFederatedCredential,
  'GET applications/{key}/federatedIdentityCredentials/{key}': getFederatedCredential,
  'PATCH applications/{key}/federatedIdentityCredentials/{key}': patchFederatedCredential,
  'DELETE applications/{key}/federatedIdentityCredentials/{key}': deleteFederatedCredential,
  'GET servicePrincipals': listServicePrincipals,
  'POST servicePrincipals': addServicePrincipal,
  'GET servicePrincipals/{key}': getServicePrincipal,
  'PATCH servicePrincipals/{key}': patchServicePrincipal,
  'DELETE servicePrincipals/{key}': deleteServicePrincipal,
  ...assignments('appRoleAssignedTo'),
  ...assignments('appRoleAssignments'),
};
