import { hashSecret, matchesSecret } from '../directory/client-secret.ts';
import { compact, emptyList, emptyRecord } from '../directory/empty.ts';
import type { Directory } from '../directory/directory.ts';
import type { AppRole, PasswordCredential, ServicePrincipal } from '../directory/entities.ts';
import { stableGuid } from '../directory/stable-guid.ts';
import { addGraphTo } from '../graph/graph-registration.ts';
import { systemAssigned } from '../managed-identity/resolve-identity.ts';
import { graphSeedName, type ParsedSeed } from './seed-schema.ts';

type SeedTenant = ParsedSeed['tenants'][number];
type SeedApplication = SeedTenant['applications'][number];

const clientIdOf = (tenant: SeedTenant, seed: SeedApplication): string =>
  seed.appId ?? stableGuid('client id', tenant.id, seed.name);

/** An application that the seed wants a secret made for. */
export interface SecretWanted {
  /** Its name in the seed. */
  name: string;
  appId: string;
}

export const secretsWanted = (seed: ParsedSeed): SecretWanted[] =>
  seed.tenants.flatMap((tenant) =>
    tenant.applications
      .filter(({ generatedSecret }) => generatedSecret)
      .map((application) => ({ name: application.name, appId: clientIdOf(tenant, application) })),
  );

/** Registers generated secrets with their applications, unless they are there from an earlier start. */
export const plantGeneratedSecrets = (
  directory: Directory,
  wanted: readonly SecretWanted[],
  secrets: Readonly<Record<string, string>>,
  nowMs: number,
): void => {
  for (const { name, appId } of wanted) {
    const application = directory.applicationByAppId(appId);
    const value = secrets[name] ?? '';
    if (!application || application.passwordCredentials.some((known) => matchesSecret(known, value)))
      continue;
    const credential = plantSecret(appId, { displayName: 'generated at first start', value }, nowMs);
    application.passwordCredentials = [credential, ...application.passwordCredentials];
  }
};

/** Secrets of the seed are a year old, so that a clock that is put back does not shut anybody out. */
const secretAgeMs = 365 * 86_400_000;

/** Two years: what Entra gives a secret that nobody gave an end. */
const secretLifetimeMs = 730 * 86_400_000;

/** Puts a seed's tenants, applications and grants into a directory, without the secrets that are to be made. Ids that it does not name are always the same. */
export const plantSeed = (directory: Directory, seed: ParsedSeed, nowMs: number): void => {
  for (const tenant of seed.tenants) {
    const entity = { id: tenant.id, displayName: tenant.displayName, domains: tenant.domains };
    directory.addTenant(entity);
    const principals = new Map<string, ServicePrincipal>();
    principals.set(graphSeedName, addGraphTo(directory, entity));
    for (const application of tenant.applications) {
      const principal = plantApplication(directory, tenant, application, nowMs);
      principals.set(application.name, principal);
      principals.set(principal.appId, principal);
    }
    for (const identity of tenant.managedIdentities) {
      principals.set(identity.name, plantManagedIdentity(directory, tenant, identity, nowMs));
    }
    for (const caller of [...tenant.applications, ...tenant.managedIdentities]) {
      plantGrants(directory, caller, principals, nowMs);
    }
  }
};

const plantApplication = (
  directory: Directory,
  tenant: SeedTenant,
  seed: SeedApplication,
  createdMs: number,
): ServicePrincipal => {
  const appId = clientIdOf(tenant, seed);
  const displayName = seed.displayName ?? seed.name;
  directory.addApplication({
    id: stableGuid('application', tenant.id, appId),
    appId,
    tenantId: tenant.id,
    owners: emptyList,
    uniqueName: seed.uniqueName ?? null,
    displayName,
    description: null,
    signInAudience: 'AzureADMyOrg',
    identifierUris: compact(seed.identifierUris),
    requestedAccessTokenVersion: seed.requestedAccessTokenVersion,
    appRoles: compact(seed.appRoles.map((role) => plantRole(appId, role))),
    accessTokenClaims: compact(seed.optionalClaims),
    requiredResourceAccess: emptyList,
    passwordCredentials: compact(seed.secrets.map((secret) => plantSecret(appId, secret, createdMs))),
    keyCredentials: compact(
      seed.certificates.map(({ displayName, pem }) => ({
        ...pem,
        keyId: stableGuid('certificate', appId, pem.thumbprintSha256),
        displayName: displayName ?? null,
        visibleFromMs: 0,
      })),
    ),
    federatedIdentityCredentials: compact(
      seed.federatedCredentials.map((credential) => ({
        ...credential,
        id: stableGuid('federated credential', appId, credential.name),
        description: credential.description ?? null,
        visibleFromMs: 0,
      })),
    ),
    tokenLifetimeSeconds: seed.tokenLifetimeSeconds ?? null,
    refreshInSeconds: seed.refreshInSeconds ?? null,
    other: emptyRecord,
    createdMs,
  });
  const principal: ServicePrincipal = {
    id: stableGuid('service principal', tenant.id, appId),
    appId,
    tenantId: tenant.id,
    owners: emptyList,
    displayName,
    accountEnabled: seed.accountEnabled,
    appRoleAssignmentRequired: seed.appRoleAssignmentRequired,
    servicePrincipalType: 'Application',
    alternativeNames: emptyList,
    other: emptyRecord,
    createdMs,
  };
  directory.addServicePrincipal(principal);
  return principal;
};

const plantManagedIdentity = (
  directory: Directory,
  tenant: SeedTenant,
  seed: SeedTenant['managedIdentities'][number],
  createdMs: number,
): ServicePrincipal => {
  const appId = seed.clientId ?? stableGuid('client id', tenant.id, seed.name);
  const principal: ServicePrincipal = {
    id: stableGuid('service principal', tenant.id, appId),
    appId,
    tenantId: tenant.id,
    owners: [],
    displayName: seed.name,
    accountEnabled: true,
    appRoleAssignmentRequired: false,
    servicePrincipalType: 'ManagedIdentity',
    alternativeNames: [
      seed.resourceId ?? identityResource(seed.name),
      ...(seed.systemAssigned ? [systemAssigned] : []),
    ],
    other: {},
    createdMs,
  };
  directory.addServicePrincipal(principal);
  return principal;
};

const identityResource = (name: string): string =>
  `/subscriptions/${stableGuid('subscription')}/resourcegroups/local/providers/Microsoft.ManagedIdentity/userAssignedIdentities/${name}`;

const forApplications = ['Application'];

const plantRole = (appId: string, role: SeedApplication['appRoles'][number]): AppRole => ({
  id: role.id ?? stableGuid('app role', appId, role.value),
  value: role.value,
  displayName: role.displayName ?? role.value,
  description: role.description ?? role.displayName ?? role.value,
  isEnabled: role.isEnabled,
  allowedMemberTypes: role.allowedMemberTypes ?? forApplications,
});

const plantSecret = (
  appId: string,
  secret: SeedApplication['secrets'][number],
  nowMs: number,
): PasswordCredential => {
  const keyId = stableGuid('secret', appId, secret.value);
  const startMs = secret.startDateTime === undefined ? nowMs - secretAgeMs : Date.parse(secret.startDateTime);
  return {
    keyId,
    displayName: secret.displayName ?? null,
    hint: secret.value.slice(0, 3),
    hash: hashSecret(keyId, secret.value),
    startMs,
    endMs: secret.endDateTime === undefined ? nowMs + secretLifetimeMs : Date.parse(secret.endDateTime),
    visibleFromMs: 0,
  };
};

const plantGrants = (
  directory: Directory,
  caller: Pick<SeedApplication, 'grantedRoles' | 'name'>,
  principals: ReadonlyMap<string, ServicePrincipal>,
  nowMs: number,
): void => {
  const principal = principals.get(caller.name);
  for (const { resource, role } of caller.grantedRoles) {
    const api = principals.get(resource);
    const appRole =
      api && directory.applicationByAppId(api.appId)?.appRoles.find(({ value }) => value === role);
    // The schema has made sure that both exist.
    if (!principal || !api || !appRole) continue;
    directory.addAssignment({
      id: stableGuid('assignment', principal.id, api.id, appRole.id),
      principalId: principal.id,
      resourceId: api.id,
      appRoleId: appRole.id,
      createdMs: nowMs,
      visibleFromMs: 0,
    });
  }
};
