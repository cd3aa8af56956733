import { randomUUID } from 'node:crypto';
import type { EntraContext } from '../entra-context.ts';
import type { ServicePrincipal } from '../directory/entities.ts';
import { findUriOwner } from '../directory/find-uri-owner.ts';
import { isAvailableIn } from '../directory/is-available.ts';
import { keptServicePrincipalProperties, servicePrincipalBody } from './application-body.ts';
import { badRequest, GraphError, notFound } from './graph-error.ts';
import type { GraphKey } from './graph-path.ts';
import { graphAppId } from './graph-registration.ts';
import { keyAt, type GraphAnswer, type GraphRequest } from './graph-request.ts';
import { servicePrincipalProperties } from './graph-properties.ts';
import { parseBody } from './parse-body.ts';
import { requireRead, requireWrite } from './permissions.ts';
import { listPage, select, type GraphObject } from './query-options.ts';

const resourceOf = (entra: EntraContext, principal: ServicePrincipal): GraphObject => {
  const application = entra.directory.applicationByAppId(principal.appId);
  return {
    tags: [],
    ...principal.other,
    id: principal.id,
    appId: principal.appId,
    appDisplayName: application?.displayName ?? principal.displayName,
    displayName: principal.displayName,
    accountEnabled: principal.accountEnabled,
    alternativeNames: principal.alternativeNames,
    appOwnerOrganizationId: application?.tenantId ?? principal.tenantId,
    appRoleAssignmentRequired: principal.appRoleAssignmentRequired,
    appRoles: (application?.appRoles ?? []).map((role) => ({ ...role, origin: 'Application' })),
    createdDateTime: new Date(principal.createdMs).toISOString(),
    deletedDateTime: null,
    servicePrincipalNames: [...(application?.identifierUris ?? []), principal.appId],
    servicePrincipalType: principal.servicePrincipalType,
    signInAudience: application?.signInAudience ?? null,
    keyCredentials: [],
    passwordCredentials: [],
  };
};

const lookUp = (
  entra: EntraContext,
  request: GraphRequest,
  { by, value }: GraphKey,
): ServicePrincipal | undefined => {
  const { directory } = entra;
  if (by === 'id') return directory.servicePrincipalById(request.tenant.id, value.toLowerCase());
  if (by === 'appId') return directory.servicePrincipalByAppId(request.tenant.id, value.toLowerCase());
  throw badRequest(`The key '${by}' is not one of a service principal: id and appId are.`);
};

/** The service principal that the path names. @throws {GraphError} 404 */
export const findServicePrincipal = (entra: EntraContext, request: GraphRequest): ServicePrincipal => {
  const key = keyAt(request, 0);
  const principal = lookUp(entra, request, key);
  if (!principal) throw notFound(key.value);
  return principal;
};

const create = (entra: EntraContext, request: GraphRequest, appIdFromPath?: string): GraphAnswer => {
  const { known, kept } = parseBody(servicePrincipalBody, request.body ?? {}, keptServicePrincipalProperties);
  const appId = known.appId ?? appIdFromPath;
  if (appId === undefined)
    throw badRequest("A value is required for property 'appId' of resource 'ServicePrincipal'.");
  const application = entra.directory.applicationByAppId(appId);
  const isVisible = application && isAvailableIn(request.tenant.id, application);
  if (!isVisible) {
    const message = `The appId '${appId}' of the service principal does not reference a valid application object.`;
    throw badRequest(message, [{ code: 'NoBackingApplicationObject', message, target: 'appId' }]);
  }
  requireWrite(request, application);
  const isPresent = entra.directory.servicePrincipalByAppId(request.tenant.id, appId) !== undefined;
  const nameInUse = isPresent
    ? appId
    : application.identifierUris.find((uri) => findUriOwner(entra.directory, request.tenant.id, uri, appId));
  if (nameInUse !== undefined) {
    throw new GraphError(
      409,
      'Request_MultipleObjectsWithSameKeyValue',
      `The service principal cannot be created, updated, or restored because the service principal name ${nameInUse} is already in use.`,
    );
  }
  const principal: ServicePrincipal = {
    id: randomUUID(),
    appId,
    tenantId: request.tenant.id,
    owners: [request.caller.id],
    displayName: known.displayName ?? application.displayName,
    accountEnabled: known.accountEnabled ?? true,
    appRoleAssignmentRequired: known.appRoleAssignmentRequired ?? false,
    servicePrincipalType: 'Application',
    alternativeNames: [],
    other: kept,
    createdMs: entra.clock(),
  };
  entra.directory.addServicePrincipal(principal);
  return {
    status: 201,
    body: {
      '@odata.context': `${request.contextUrl}#servicePrincipals/$entity`,
      ...resourceOf(entra, principal),
    },
  };
};

export const listServicePrincipals = (entra: EntraContext, request: GraphRequest): GraphAnswer => {
  requireRead(request);
  const objects = [...entra.directory.servicePrincipals(request.tenant.id)].map((principal) =>
    resourceOf(entra, principal),
  );
  return {
    status: 200,
    body: {
      '@odata.context': `${request.contextUrl}#servicePrincipals`,
      ...listPage(objects, request, servicePrincipalProperties),
    },
  };
};

export const addServicePrincipal = (entra: EntraContext, request: GraphRequest): GraphAnswer =>
  create(entra, request);

export const getServicePrincipal = (entra: EntraContext, request: GraphRequest): GraphAnswer => {
  requireRead(request);
  const object = resourceOf(entra, findServicePrincipal(entra, request));
  return {
    status: 200,
    body: {
      '@odata.context': `${request.contextUrl}#servicePrincipals/$entity`,
      ...select(object, request.query, servicePrincipalProperties),
    },
  };
};

/** PATCH; by `appId` with `Prefer: create-if-missing` also creates. */
export const patchServicePrincipal = (entra: EntraContext, request: GraphRequest): GraphAnswer => {
  const key = keyAt(request, 0);
  const principal = lookUp(entra, request, key);
  if (!principal) {
    if (key.by !== 'appId' || !request.createIfMissing) throw notFound(key.value);
    return create(entra, request, key.value.toLowerCase());
  }
  requireWrite(request, principal);
  const { known, kept } = parseBody(servicePrincipalBody, request.body, keptServicePrincipalProperties);
  const { appId, ...changes } = known;
  if (appId !== undefined && appId !== principal.appId)
    throw badRequest("Property 'appId' is read-only and cannot be set.");
  Object.assign(principal, changes);
  principal.other = { ...principal.other, ...kept };
  return { status: 204 };
};

export const deleteServicePrincipal = (entra: EntraContext, request: GraphRequest): GraphAnswer => {
  const principal = findServicePrincipal(entra, request);
  requireWrite(request, principal);
  if (principal.appId === graphAppId) {
    throw badRequest(
      'The service principal of Microsoft Graph cannot be deleted: nothing could bring it back.',
    );
  }
  entra.directory.removeServicePrincipal(principal);
  return { status: 204 };
};
