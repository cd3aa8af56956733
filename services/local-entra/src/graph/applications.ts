import { randomUUID } from 'node:crypto';
import type { EntraContext } from '../entra-context.ts';
import type { Application } from '../directory/entities.ts';
import { applicationBody, keptApplicationProperties } from './application-body.ts';
import { applicationResource } from './application-resource.ts';
import { changeApplication } from './change-application.ts';
import { findApplication, lookUpApplication } from './find-application.ts';
import { badRequest, notFound } from './graph-error.ts';
import { keyAt, type GraphAnswer, type GraphRequest } from './graph-request.ts';
import { applicationProperties } from './graph-properties.ts';
import { parseBody } from './parse-body.ts';
import { requireCreate, requireRead, requireWrite } from './permissions.ts';
import { listPage, select, selected } from './query-options.ts';
import { withPathName } from './with-path-name.ts';

const createApplication = (entra: EntraContext, request: GraphRequest, uniqueName?: string): Application => {
  requireCreate(request);
  const { known, kept } = parseApplicationBody(request, uniqueName);
  if (known.displayName === undefined) {
    throw badRequest("A value is required for property 'displayName' of resource 'Application'.");
  }
  const application: Application = {
    id: randomUUID(),
    appId: randomUUID(),
    tenantId: request.tenant.id,
    owners: [request.caller.id],
    uniqueName: uniqueName ?? null,
    displayName: known.displayName,
    description: null,
    signInAudience: 'AzureADMyOrg',
    identifierUris: [],
    requestedAccessTokenVersion: null,
    appRoles: [],
    accessTokenClaims: [],
    requiredResourceAccess: [],
    passwordCredentials: [],
    keyCredentials: [],
    federatedIdentityCredentials: [],
    tokenLifetimeSeconds: null,
    refreshInSeconds: null,
    other: kept,
    createdMs: entra.clock(),
  };
  changeApplication(entra, application, request.tenant, known);
  entra.directory.addApplication(application);
  return application;
};

const parseApplicationBody = (request: GraphRequest, uniqueName?: string) => {
  if (Object.hasOwn(Object(request.body) as object, 'passwordCredentials')) {
    throw badRequest('Property passwordCredentials cannot be set: use addPassword and removePassword.');
  }
  return parseBody(
    applicationBody,
    withPathName(request.body, 'uniqueName', uniqueName),
    keptApplicationProperties,
  );
};

const created = (request: GraphRequest, application: Application): GraphAnswer => ({
  status: 201,
  body: {
    '@odata.context': `${request.contextUrl}#applications/$entity`,
    ...applicationResource(application),
  },
});

export const listApplications = (entra: EntraContext, request: GraphRequest): GraphAnswer => {
  requireRead(request);
  const objects = [...entra.directory.applications(request.tenant.id)].map((application) =>
    applicationResource(application),
  );
  return {
    status: 200,
    body: {
      '@odata.context': `${request.contextUrl}#applications`,
      ...listPage(objects, request, applicationProperties),
    },
  };
};

export const addApplication = (entra: EntraContext, request: GraphRequest): GraphAnswer =>
  created(request, createApplication(entra, request));

export const getApplication = (entra: EntraContext, request: GraphRequest): GraphAnswer => {
  requireRead(request);
  const wantsKeys = selected(request.query, applicationProperties)?.includes('keyCredentials');
  const object = applicationResource(findApplication(entra.directory, request), wantsKeys);
  return {
    status: 200,
    body: {
      '@odata.context': `${request.contextUrl}#applications/$entity`,
      ...select(object, request.query, applicationProperties),
    },
  };
};

/** PATCH; by `uniqueName` with `Prefer: create-if-missing` also creates. */
export const patchApplication = (entra: EntraContext, request: GraphRequest): GraphAnswer => {
  const key = keyAt(request, 0);
  const application = lookUpApplication(entra.directory, request.tenant.id, key);
  if (!application) {
    if (key.by !== 'uniqueName' || !request.createIfMissing) throw notFound(key.value);
    return created(request, createApplication(entra, request, key.value));
  }
  requireWrite(request, application);
  const { known, kept } = parseApplicationBody(request);
  changeApplication(entra, application, request.tenant, known);
  application.other = { ...application.other, ...kept };
  entra.directory.reindexApplication(application);
  return { status: 204 };
};

/** Deletes at once and for good: there is no recycle bin here. The service principals of the application go with it. */
export const deleteApplication = (entra: EntraContext, request: GraphRequest): GraphAnswer => {
  const application = findApplication(entra.directory, request);
  requireWrite(request, application);
  for (const { id } of entra.directory.tenants()) {
    const principal = entra.directory.servicePrincipalByAppId(id, application.appId);
    if (principal) entra.directory.removeServicePrincipal(principal);
  }
  entra.directory.removeApplication(application);
  return { status: 204 };
};
