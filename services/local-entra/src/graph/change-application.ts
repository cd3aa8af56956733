import { randomUUID, X509Certificate } from 'node:crypto';
import type { EntraContext } from '../entra-context.ts';
import type { Application, AppRole, KeyCredential, Tenant } from '../directory/entities.ts';
import { findUriOwner, withoutSlash } from '../directory/find-uri-owner.ts';
import { keyCredentialOf } from '../directory/key-credential.ts';
import { tokenVersionOf } from '../directory/token-version.ts';
import type { ApplicationBody } from './application-body.ts';
import { lookUpApplication } from './find-application.ts';
import { graphUri } from './graph-registration.ts';
import { badRequest, conflict, type GraphError } from './graph-error.ts';

const checkUniqueName = (entra: EntraContext, application: Application, name: string | null): void => {
  if (name === application.uniqueName) return;
  if (application.uniqueName !== null)
    throw badRequest("Property 'uniqueName' cannot be changed once it is set.");
  const other =
    name !== null &&
    lookUpApplication(entra.directory, application.tenantId, { by: 'uniqueName', value: name });
  if (other) throw conflict('uniqueName');
};

const mayBeNew = (uri: string, application: Application, tenant: Tenant, version: 1 | 2): boolean =>
  version === 2 || [tenant.id, application.appId, ...tenant.domains].some((name) => uri.includes(name));

/** Graph's names: whoever had one of them would get the tokens that are meant for Graph. */
const isReserved = ({ origin }: EntraContext, uri: string): boolean =>
  [graphUri, origin().toLowerCase()].includes(withoutSlash(uri).toLowerCase());

/** In its own tenant, or in any other in which it is installed. */
const isTaken = ({ directory }: EntraContext, { tenantId, appId }: Application, uri: string): boolean =>
  [...directory.tenants()]
    .filter(({ id }) => id === tenantId || directory.servicePrincipalByAppId(id, appId))
    .some(({ id }) => findUriOwner(directory, id, uri, appId) !== undefined);

/** New URIs must name the tenant or the application, unless its tokens have version 2: a policy that is on by default. */
const checkUris = (
  entra: EntraContext,
  application: Application,
  tenant: Tenant,
  body: ApplicationBody,
): void => {
  const uris = body.identifierUris ?? [];
  if (new Set(uris).size < uris.length)
    throw badRequest('It contains duplicate value. Please Provide unique value for identifierUris.');
  const { requestedAccessTokenVersion = application.requestedAccessTokenVersion } = body.api ?? {};
  const { signInAudience = application.signInAudience } = body;
  const version = tokenVersionOf({ requestedAccessTokenVersion, signInAudience });
  for (const uri of uris) {
    if (isReserved(entra, uri) || isTaken(entra, application, uri)) throw conflict('identifierUris');
    if (!application.identifierUris.includes(uri) && !mayBeNew(uri, application, tenant, version)) {
      throw badRequest(
        `Failed to add identifier URI ${uri}. All newly added URIs must contain a tenant verified domain, tenant ID, or app ID, as per the default tenant policy of your organization. See https://aka.ms/identifier-uri-formatting-error for more information on this error.`,
      );
    }
  }
};

const enabledRole = (change: 'deleted' | 'updated'): GraphError =>
  badRequest(`Property value cannot be ${change} unless it is disabled first.`, [
    { code: 'CannotDeleteOrUpdateEnabledEntitlement', target: 'appRoles' },
  ]);

const checkRoles = (current: readonly AppRole[], wanted: readonly AppRole[]): void => {
  const ids = new Set(wanted.map(({ id }) => id));
  if (ids.size < wanted.length)
    throw badRequest('It contains duplicate value. Please Provide unique value for id.');
  if (new Set(wanted.map(({ value }) => value)).size < wanted.length) {
    throw badRequest('It contains duplicate value. Please Provide unique value for value.');
  }
  const enabled = current.filter(({ isEnabled }) => isEnabled);
  if (enabled.some(({ id }) => !ids.has(id))) throw enabledRole('deleted');
  // Tokens carry the value: an API that looks for the old one must be able to stop first.
  if (enabled.some(({ id, value }) => wanted.some((role) => role.id === id && role.value !== value)))
    throw enabledRole('updated');
};

type WantedKey = NonNullable<ApplicationBody['keyCredentials']>[number];
type Validity = Pick<KeyCredential, 'endMs' | 'startMs'>;

const readCertificate = (key: string): ReturnType<typeof keyCredentialOf> => {
  try {
    return keyCredentialOf(new X509Certificate(Buffer.from(key, 'base64')));
  } catch {
    throw badRequest('Key credential is invalid: the key is not the certificate of an RSA key in base64.');
  }
};

/** Start and end can be narrower than the certificate's own, and never wider. */
const validity = (wanted: WantedKey, certificate: Validity, before: Validity): Validity => {
  const startMs = wanted.startDateTime == null ? before.startMs : Date.parse(wanted.startDateTime);
  const endMs = wanted.endDateTime == null ? before.endMs : Date.parse(wanted.endDateTime);
  if (startMs < certificate.startMs || startMs >= endMs)
    throw badRequest('Key credential start date is invalid.');
  if (endMs > certificate.endMs) throw badRequest('Key credential end date is invalid.');
  return { startMs, endMs };
};

const toKeyCredential = (entra: EntraContext, application: Application, wanted: WantedKey): KeyCredential => {
  const { customKeyIdentifier } = wanted;
  const identifier = customKeyIdentifier == null ? {} : { customKeyIdentifier };
  if (typeof wanted.key !== 'string') {
    const kept = application.keyCredentials.find(({ keyId }) => keyId === wanted.keyId);
    if (!kept) throw badRequest('New key credential must contain key data.');
    const displayName = wanted.displayName ?? kept.displayName;
    return { ...kept, ...validity(wanted, readCertificate(kept.key), kept), ...identifier, displayName };
  }
  const certificate = readCertificate(wanted.key);
  return {
    ...certificate,
    ...validity(wanted, certificate, certificate),
    ...identifier,
    keyId: wanted.keyId ?? randomUUID(),
    displayName: wanted.displayName ?? null,
    visibleFromMs: entra.propagation.visibleFromMs('certificates'),
  };
};

type WantedRole = NonNullable<ApplicationBody['appRoles']>[number];

const withoutOrigin = (wanted: WantedRole): AppRole => {
  const { origin: _, ...role } = wanted;
  return role;
};

/** What an application keeps beside what local-entra acts on, in the places where Graph has it. */
const keptParts = ({ other }: Application, body: ApplicationBody): Record<string, unknown> => {
  const { requestedAccessTokenVersion: _, ...api } = body.api ?? {};
  const { accessToken: __, ...claims } = body.optionalClaims ?? {};
  const hasClaims = Object.keys(claims).length > 0;
  const { optionalClaims: before, ...rest } = other;
  return {
    ...rest,
    ...(Object.keys(api).length > 0 && { api: { ...(other['api'] as object | undefined), ...api } }),
    ...(body.optionalClaims === undefined
      ? before !== undefined && { optionalClaims: before }
      : hasClaims && { optionalClaims: claims }),
  };
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
    ...(appRoles !== undefined && { appRoles: appRoles.map(withoutOrigin) }),
    ...(keyCredentials !== undefined && { keyCredentials }),
    ...((body.api ?? body.optionalClaims) !== undefined && { other: keptParts(application, body) }),
    ...(body.requiredResourceAccess !== undefined && { requiredResourceAccess: body.requiredResourceAccess }),
    ...(body.api?.requestedAccessTokenVersion !== undefined && {
      requestedAccessTokenVersion: body.api.requestedAccessTokenVersion,
    }),
    ...(body.optionalClaims !== undefined && {
      accessTokenClaims: (body.optionalClaims?.accessToken ?? []).map(
        ({ additionalProperties, ...claim }) => ({
          ...claim,
          additionalProperties: additionalProperties ?? [],
        }),
      ),
    }),
  };
  Object.assign(application, changes);
};
