import type { Clock } from '../clock.ts';
import { hashSecret } from '../directory/client-secret.ts';
import type { Directory } from '../directory/directory.ts';
import type { AppRole, PasswordCredential, ServicePrincipal } from '../directory/entities.ts';
import { stableGuid } from '../directory/stable-guid.ts';
import { addGraphTo, graphApplication } from '../graph/graph-registration.ts';
import { graphSeedName, type ParsedSeed } from './seed-schema.ts';

type SeedTenant = ParsedSeed['tenants'][number];
type SeedApplication = SeedTenant['applications'][number];

/** Two years: what Entra gives a secret that nobody gave an end. */
const secretLifetimeMs = 730 * 86_400_000;

export interface PlantSeedOptions {
  clock: Clock;
  /** The secret of an application whose secret is generated, by the application's name in the seed. */
  secretFor: (name: string) => string;
}

/** Puts a seed's tenants, applications and grants into a directory. Ids that it does not name are always the same. */
export const plantSeed = (directory: Directory, seed: ParsedSeed, options: PlantSeedOptions): void => {
  directory.addForeignApplication(graphApplication());
  for (const tenant of seed.tenants) {
    const entity = { id: tenant.id, displayName: tenant.displayName, domains: tenant.domains };
    directory.addTenant(entity);
    const principals = new Map<string, ServicePrincipal>();
    principals.set(graphSeedName, addGraphTo(directory, entity));
    for (const application of tenant.applications) {
      const principal = plantApplication(directory, tenant, application, options);
      principals.set(application.name, principal);
      principals.set(principal.appId, principal);
    }
    for (const application of tenant.applications) {
      plantGrants(directory, application, principals, options.clock());
    }
  }
};

const plantApplication = (
  directory: Directory,
  tenant: SeedTenant,
  seed: SeedApplication,
  { clock, secretFor }: PlantSeedOptions,
): ServicePrincipal => {
  const appId = seed.appId ?? stableGuid('client id', tenant.id, seed.name);
  const displayName = seed.displayName ?? seed.name;
  const createdMs = clock();
  const secrets = seed.generatedSecret
    ? [{ displayName: 'generated at first start', value: secretFor(seed.name) }, ...seed.secrets]
    : seed.secrets;
  directory.addApplication({
    id: stableGuid('application', tenant.id, appId),
    appId,
    tenantId: tenant.id,
    owners: [],
    uniqueName: seed.uniqueName ?? null,
    displayName,
    description: null,
    signInAudience: 'AzureADMyOrg',
    identifierUris: seed.identifierUris,
    requestedAccessTokenVersion: seed.requestedAccessTokenVersion,
    appRoles: seed.appRoles.map((role) => plantRole(appId, role)),
    accessTokenClaims: seed.optionalClaims,
    requiredResourceAccess: [],
    passwordCredentials: secrets.map((secret) => plantSecret(appId, secret, createdMs)),
    keyCredentials: seed.certificates.map(({ displayName, pem }) => ({
      ...pem,
      keyId: stableGuid('certificate', appId, pem.thumbprintSha256),
      displayName: displayName ?? null,
      visibleFromMs: 0,
    })),
    federatedIdentityCredentials: seed.federatedCredentials.map((credential) => ({
      ...credential,
      id: stableGuid('federated credential', appId, credential.name),
      description: credential.description ?? null,
      visibleFromMs: 0,
    })),
    tokenLifetimeSeconds: seed.tokenLifetimeSeconds ?? null,
    refreshInSeconds: seed.refreshInSeconds ?? null,
    other: {},
    createdMs,
  });
  const principal: ServicePrincipal = {
    id: stableGuid('service principal', tenant.id, appId),
    appId,
    tenantId: tenant.id,
    owners: [],
    displayName,
    accountEnabled: seed.accountEnabled,
    appRoleAssignmentRequired: seed.appRoleAssignmentRequired,
    servicePrincipalType: 'Application',
    alternativeNames: [],
    other: {},
    createdMs,
  };
  directory.addServicePrincipal(principal);
  return principal;
};

const plantRole = (appId: string, role: SeedApplication['appRoles'][number]): AppRole => ({
  id: role.id ?? stableGuid('app role', appId, role.value),
  value: role.value,
  displayName: role.displayName ?? role.value,
  description: role.description ?? role.displayName ?? role.value,
  isEnabled: role.isEnabled,
  allowedMemberTypes: ['Application'],
});

const plantSecret = (
  appId: string,
  secret: SeedApplication['secrets'][number],
  nowMs: number,
): PasswordCredential => {
  const keyId = stableGuid('secret', appId, secret.value);
  const startMs = secret.startDateTime === undefined ? nowMs : Date.parse(secret.startDateTime);
  return {
    keyId,
    displayName: secret.displayName ?? null,
    hint: secret.value.slice(0, 3),
    hash: hashSecret(keyId, secret.value),
    startMs,
    endMs: secret.endDateTime === undefined ? startMs + secretLifetimeMs : Date.parse(secret.endDateTime),
    visibleFromMs: 0,
  };
};

const plantGrants = (
  directory: Directory,
  application: SeedApplication,
  principals: ReadonlyMap<string, ServicePrincipal>,
  nowMs: number,
): void => {
  const principal = principals.get(application.name);
  for (const { resource, role } of application.grantedRoles) {
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
