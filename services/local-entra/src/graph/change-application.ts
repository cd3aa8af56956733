import { randomUUID, X509Certificate } from 'node:crypto';
import type { EntraContext } from '../entra-context.ts';
import type { Application, AppRole, KeyCredential, Tenant } from '../directory/entities.ts';
import { keyCredentialOf } from '../directory/key-credential.ts';
import type { ApplicationBody } from './application-body.ts';
import { lookUpApplication } from './find-application.ts';
import { badRequest, conflict } from './graph-error.ts';

const checkUniqueName = (entra: EntraContext, application: Application, name: string | null): void => {
  if (name === application.uniqueName) return;
  if (application.uniqueName !== null)
    throw badRequest("Property 'uniqueName' cannot be changed once it is set.");
  const other =
    name !== null &&
    lookUpApplication(entra.directory, application.tenantId, { by: 'uniqueName', value: name });
  if (other) throw conflict('uniqueName');
};

const mayBeNew = (uri: string, application: Application, tenant: Tenant, version: 1 | 2 | null): boolean =>
  version === 2 || [tenant.id, application.appId, ...tenant.domains].some((name) => uri.includes(name));

/** New URIs must name the tenant or the application, unless its tokens have version 2: a policy that is on by default. */
const checkUris = (
  entra: EntraContext,
  application: Application,
  tenant: Tenant,
  body: ApplicationBody,
): void => {
  const version = body.api?.requestedAccessTokenVersion ?? application.requestedAccessTokenVersion;
  for (const uri of body.identifierUris ?? []) {
    const owner = entra.directory.servicePrincipalByName(tenant.id, uri);
    const taken =
      (owner && owner.appId !== application.appId) ||
      [...entra.directory.applications(tenant.id)].some(
        (other) => other !== application && other.identifierUris.includes(uri),
      );
    if (taken) throw conflict('identifierUris');
    if (!application.identifierUris.includes(uri) && !mayBeNew(uri, application, tenant, version)) {
      throw badRequest(
        `Failed to add identifier URI ${uri}. All newly added URIs must contain a tenant verified domain, tenant ID, or app ID, as per the default tenant policy of your organization. See https://aka.ms/identifier-uri-formatting-error for more information on this error.`,
      );
    }
  }
};

const checkRoles = (current: readonly AppRole[], wanted: readonly AppRole[]): void => {
  const ids = new Set(wanted.map(({ id }) => id));
  if (ids.size < wanted.length)
    throw badRequest('It contains duplicate value. Please Provide unique value for id.');
  if (new Set(wanted.map(({ value }) => value)).size < wanted.length) {
    throw badRequest('It contains duplicate value. Please Provide unique value for value.');
  }
  if (current.some(({ id, isEnabled }) => isEnabled && !ids.has(id))) {
    throw badRequest('Property value cannot be deleted unless it is disabled first.', [
      { code: 'CannotDeleteOrUpdateEnabledEntitlement', target: 'appRoles' },
    ]);
  }
};

const toKeyCredential = (
  entra: EntraContext,
  application: Application,
  wanted: NonNullable<ApplicationBody['keyCredentials']>[number],
): KeyCredential => {
  if (typeof wanted.key !== 'string') {
    const kept = application.keyCredentials.find(({ keyId }) => keyId === wanted.keyId);
    if (!kept) throw badRequest('New key credential must contain key data.');
    return { ...kept, displayName: wanted.displayName ?? kept.displayName };
  }
  try {
    return {
      ...keyCredentialOf(new X509Certificate(Buffer.from(wanted.key, 'base64'))),
      keyId: wanted.keyId ?? randomUUID(),
      displayName: wanted.displayName ?? null,
      visibleFromMs: entra.propagation.visibleFromMs('certificates'),
    };
  } catch {
    throw badRequest('Key credential is invalid: the key is not a certificate in base64.');
  }
};

/**
 * Applies a body to an application, or nothing of it.
 *
 * @throws {GraphError} 400 for what Entra would refuse.
 */
export const changeApplication = (
  entra: EntraContext,
  application: Application,
  tenant: Tenant,
  body: ApplicationBody,
): void => {
  if (body.uniqueName !== undefined) checkUniqueName(entra, application, body.uniqueName);
  checkUris(entra, application, tenant, body);
  if (body.appRoles) checkRoles(application.appRoles, body.appRoles);
  const keyCredentials = body.keyCredentials?.map((key) => toKeyCredential(entra, application, key));

  const { uniqueName, displayName, description, signInAudience, identifierUris, appRoles } = body;
  const changes: Partial<Application> = {
    ...(uniqueName !== undefined && { uniqueName }),
    ...(displayName !== undefined && { displayName }),
    ...(description !== undefined && { description }),
    ...(signInAudience !== undefined && { signInAudience }),
    ...(identifierUris !== undefined && { identifierUris }),
    ...(appRoles !== undefined && { appRoles }),
    ...(keyCredentials !== undefined && { keyCredentials }),
    ...(body.requiredResourceAccess !== undefined && { requiredResourceAccess: body.requiredResourceAccess }),
    ...(body.api?.requestedAccessTokenVersion !== undefined && {
      requestedAccessTokenVersion: body.api.requestedAccessTokenVersion,
    }),
    ...(body.optionalClaims !== undefined && {
      accessTokenClaims: (body.optionalClaims?.accessToken ?? []).map(({ name, additionalProperties }) => ({
        name,
        additionalProperties: additionalProperties ?? [],
      })),
    }),
  };
  Object.assign(application, changes);
};
