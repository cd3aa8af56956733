import { X509Certificate } from 'node:crypto';
import { z } from 'zod';
import { graphAppId, graphPermissions, graphUri } from '../graph/graph-registration.ts';
import { keyCredentialOf } from '../directory/key-credential.ts';

/** What grants call Microsoft Graph, which is in every tenant. */
export const graphSeedName = 'microsoft-graph';

const guid = z
  .string()
  .regex(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i, 'must be a GUID')
  .transform((text) => text.toLowerCase());
const name = z
  .string()
  .regex(/^[a-z0-9][a-z0-9._-]{0,62}$/i, 'must be 1 to 63 letters, digits, dots, dashes or underscores')
  .refine((text) => text !== graphSeedName, `must not be ${graphSeedName}, which is there already`);
const text = (max: number) =>
  z.string().min(1, 'must not be empty').max(max, `must be at most ${max} characters`);
const instant = z.iso.datetime({ offset: true, error: 'must be a time such as 2030-01-31T00:00:00Z' });

const appRole = z.strictObject({
  id: guid.optional(),
  value: z
    .string()
    .regex(/^[!#$%&'()*+,\-./:;<=>?@[\]^_`{|}~\w]{1,120}$/, 'must be 1 to 120 characters without spaces'),
  displayName: text(100).optional(),
  description: text(1000).optional(),
  isEnabled: z.boolean().default(true),
  /** Who can hold it. A role for users only cannot be granted here. */
  allowedMemberTypes: z
    .array(z.enum(['Application', 'User']))
    .min(1, 'must name Application, User or both')
    .optional(),
});

const secret = z.strictObject({
  displayName: text(256).optional(),
  /** The secret itself: for test fixtures. `generatedSecret` keeps it out of the seed. */
  value: text(1000),
  startDateTime: instant.optional(),
  endDateTime: instant.optional(),
});

const certificate = z.strictObject({
  displayName: text(256).optional(),
  /** The public certificate. */
  pem: z.string().transform((pem, context) => {
    try {
      return keyCredentialOf(new X509Certificate(pem));
    } catch {
      context.addIssue({ code: 'custom', message: 'must be a certificate in PEM, of an RSA key' });
      return z.NEVER;
    }
  }),
});

const federatedCredential = z.strictObject({
  name: z.string().regex(/^[\w-]{1,120}$/, 'must be 1 to 120 letters, digits, dashes or underscores'),
  issuer: text(600),
  subject: text(600),
  /** Exactly one. */
  audiences: z.array(text(600)).length(1, 'must hold exactly one').default(['api://AzureADTokenExchange']),
  description: text(600).optional(),
});

const optionalClaim = z.union([
  text(100).transform((name) => ({ name, additionalProperties: [] as string[] })),
  z.strictObject({ name: text(100), additionalProperties: z.array(text(100)).default([]) }),
]);

const grantedRole = z.strictObject({
  /** The API: an application's `name` in this seed, its client id, or `microsoft-graph`. */
  resource: text(120),
  /** `value` of one of its app roles. */
  role: text(120),
});

const application = z.strictObject({
  /** What this application is called in the seed; also the name of its secret's file. */
  name,
  /** Client id. Default: one that is always the same for tenant and name. */
  appId: guid.optional(),
  /** Default: `name`. */
  displayName: text(256).optional(),
  uniqueName: text(128).optional(),
  /** App ID URIs. */
  identifierUris: z
    .array(text(255).refine((uri) => URL.canParse(uri), 'must be a URI, such as api://name'))
    .default([]),
  /** Format of the access tokens for this API. Default null, which is version 1, as in Entra. */
  requestedAccessTokenVersion: z.union([z.literal(1), z.literal(2), z.null()]).default(null),
  appRoles: z.array(appRole).default([]),
  /** Optional claims of the access tokens for this API. */
  optionalClaims: z.array(optionalClaim).default([]),
  /** Refuse tokens to applications that hold none of this API's roles. */
  appRoleAssignmentRequired: z.boolean().default(false),
  accountEnabled: z.boolean().default(true),
  /** Make a secret at first start. */
  generatedSecret: z.boolean().default(false),
  secrets: z.array(secret).default([]),
  certificates: z.array(certificate).default([]),
  federatedCredentials: z.array(federatedCredential).max(20, 'must be at most 20').default([]),
  grantedRoles: z.array(grantedRole).default([]),
  /** Fixed life of the access tokens for this API in seconds. Default: random, 60 to 90 minutes. */
  tokenLifetimeSeconds: z.int().min(1).max(100_800).optional(),
  /** Tell clients of this API to renew their token after this time. Default: half of a life of two hours or more. */
  refreshInSeconds: z.int().min(1).max(100_800).optional(),
});

const managedIdentity = z.strictObject({
  name,
  clientId: guid.optional(),
  /** Id in Azure. Default: one made of the name. */
  resourceId: text(500).optional(),
  /** The one that the machine itself has: a request that names none gets its token. */
  systemAssigned: z.boolean().default(false),
  grantedRoles: z.array(grantedRole).default([]),
});

const tenant = z.strictObject({
  id: guid,
  displayName: text(256),
  domains: z
    .array(
      z
        .string()
        .regex(/^(?=.{1,253}$)[a-z0-9-]+(\.[a-z0-9-]+)+$/i, 'must be a domain name')
        .toLowerCase(),
    )
    .default([]),
  applications: z.array(application).default([]),
  managedIdentities: z.array(managedIdentity).default([]),
});

type SeedApplication = z.output<typeof application>;
/** Tokens without a fixed life live at least this long. */
const shortestDefaultLifeSeconds = 3600;

type Tenants = readonly z.output<typeof tenant>[];
type Report = (path: readonly (string | number)[], message: string) => void;

const reportDuplicates = (report: Report) => {
  const seen = new Map<string, string>();
  return (kind: string, value: string | undefined, path: readonly (string | number)[]): void => {
    if (value === undefined) return;
    const key = `${kind} ${value.toLowerCase()}`;
    const first = seen.get(key);
    if (first !== undefined) report(path, `repeats the ${kind} "${value}" of ${first}`);
    else seen.set(key, path.join('.'));
  };
};

const checkIds = (tenants: Tenants, report: Report): void => {
  const unique = reportDuplicates(report);
  tenants.forEach((tenant, t) => {
    unique('tenant id', tenant.id, ['tenants', t, 'id']);
    tenant.domains.forEach((domain, d) => unique('domain', domain, ['tenants', t, 'domains', d]));
    tenant.managedIdentities.forEach((identity, m) => {
      unique('name', identity.name, ['tenants', t, 'managedIdentities', m, 'name']);
      unique('client id', identity.clientId, ['tenants', t, 'managedIdentities', m, 'clientId']);
    });
    tenant.applications.forEach((application, a) => {
      const at = ['tenants', t, 'applications', a];
      unique('name', application.name, [...at, 'name']);
      unique('client id', application.appId, [...at, 'appId']);
      unique(`unique name in tenant ${t}`, application.uniqueName, [...at, 'uniqueName']);
      application.identifierUris.forEach((uri, u) => {
        unique(`App ID URI in tenant ${t}`, uri, [...at, 'identifierUris', u]);
      });
      checkTimes(application, at, report);
      if (application.appId === graphAppId) {
        report([...at, 'appId'], 'must not be the client id of Microsoft Graph, which is there already');
      }
      application.identifierUris.forEach((uri, u) => {
        if (uri.replace(/\/$/, '') !== graphUri) return;
        report([...at, 'identifierUris', u], 'must not be that of Microsoft Graph, which is there already');
      });
      const trusted = new Set<string>();
      application.federatedCredentials.forEach((credential, f) => {
        const pair = JSON.stringify([credential.issuer, credential.subject]);
        if (trusted.has(pair)) {
          report([...at, 'federatedCredentials', f], 'repeats issuer and subject of another one');
        }
        trusted.add(pair);
        const kind = `federated credential of application ${application.name}`;
        unique(kind, credential.name, [...at, 'federatedCredentials', f, 'name']);
      });
      application.appRoles.forEach((role, r) => {
        unique(`role id of application ${application.name}`, role.id, [...at, 'appRoles', r, 'id']);
        unique(`role of application ${application.name}`, role.value, [...at, 'appRoles', r, 'value']);
      });
    });
  });
};

const checkTimes = (
  { secrets, tokenLifetimeSeconds = shortestDefaultLifeSeconds, refreshInSeconds = 0 }: SeedApplication,
  at: readonly (string | number)[],
  report: Report,
): void => {
  secrets.forEach(({ startDateTime, endDateTime }, s) => {
    if (startDateTime === undefined || endDateTime === undefined) return;
    if (Date.parse(endDateTime) <= Date.parse(startDateTime)) {
      report([...at, 'secrets', s, 'endDateTime'], 'must be later than startDateTime');
    }
  });
  if (refreshInSeconds > tokenLifetimeSeconds) {
    report(
      [...at, 'refreshInSeconds'],
      `must be at most the life of a token, ${tokenLifetimeSeconds} seconds`,
    );
  }
};

const checkGrants = (tenants: Tenants, report: Report): void => {
  tenants.forEach((tenant, t) => {
    const rolesOf = new Map<string, ReadonlyMap<string, boolean>>();
    rolesOf.set(graphSeedName, new Map([...graphPermissions].map((role) => [role, true])));
    const nameByAppId = new Map<string, string>();
    for (const { name, appId, appRoles } of tenant.applications) {
      const roles = new Map(
        appRoles.map(({ value, allowedMemberTypes }) => [
          value,
          allowedMemberTypes?.includes('Application') ?? true,
        ]),
      );
      rolesOf.set(name, roles);
      if (appId === undefined) continue;
      rolesOf.set(appId, roles);
      nameByAppId.set(appId, name);
    }
    const callers = [
      ...tenant.applications.map(({ grantedRoles }, a) => ({ grantedRoles, path: ['applications', a] })),
      ...tenant.managedIdentities.map(({ grantedRoles }, m) => ({
        grantedRoles,
        path: ['managedIdentities', m],
      })),
    ];
    callers.forEach(({ grantedRoles, path }) => {
      const granted = new Set<string>();
      grantedRoles.forEach(({ resource, role }, g) => {
        const at = ['tenants', t, ...path, 'grantedRoles', g];
        const roles = rolesOf.get(resource);
        if (!roles) report([...at, 'resource'], `names no application of this tenant: "${resource}"`);
        else if (!roles.has(role)) report([...at, 'role'], `names no app role of ${resource}: "${role}"`);
        else if (!roles.get(role)) {
          report([...at, 'role'], `names a role of ${resource} that is for users only: "${role}"`);
        }
        const grant = `${nameByAppId.get(resource) ?? resource} ${role}`;
        if (granted.has(grant)) report(at, `repeats the grant of "${role}" on ${resource}`);
        granted.add(grant);
      });
    });
  });
};

/** What a directory starts with. Unknown fields are errors, so that a typing mistake is not a missing permission. */
export const seedSchema = z.strictObject({ tenants: z.array(tenant).min(1) }).superRefine((seed, context) => {
  const report: Report = (path, message) => context.addIssue({ code: 'custom', path: [...path], message });
  checkIds(seed.tenants, report);
  checkGrants(seed.tenants, report);
});

/** A seed as people write it. */
export type Seed = z.input<typeof seedSchema>;
/** A seed with its defaults filled in. */
export type ParsedSeed = z.output<typeof seedSchema>;
