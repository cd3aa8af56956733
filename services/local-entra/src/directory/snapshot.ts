import { z } from 'zod';
import type { Directory } from './directory.ts';
import { compact } from './empty.ts';

const strings = z.array(z.string());
const visibleFromMs = z.number();

const application = z.object({
  id: z.string(),
  appId: z.string(),
  tenantId: z.string(),
  owners: strings,
  uniqueName: z.string().nullable(),
  displayName: z.string(),
  description: z.string().nullable(),
  signInAudience: z.string(),
  identifierUris: strings,
  requestedAccessTokenVersion: z.union([z.literal(1), z.literal(2), z.null()]),
  appRoles: z.array(
    z.object({
      id: z.string(),
      value: z.string(),
      displayName: z.string(),
      description: z.string(),
      isEnabled: z.boolean(),
      allowedMemberTypes: strings,
    }),
  ),
  accessTokenClaims: z.array(
    z.object({
      name: z.string(),
      additionalProperties: strings,
      essential: z.boolean().optional(),
      source: z.string().nullish(),
    }),
  ),
  requiredResourceAccess: z.array(
    z.object({
      resourceAppId: z.string(),
      resourceAccess: z.array(z.object({ id: z.string(), type: z.string() })),
    }),
  ),
  passwordCredentials: z.array(
    z.object({
      keyId: z.string(),
      displayName: z.string().nullable(),
      hint: z.string(),
      hash: z.string().length(43),
      startMs: z.number(),
      endMs: z.number(),
      visibleFromMs,
    }),
  ),
  keyCredentials: z.array(
    z.object({
      keyId: z.string(),
      displayName: z.string().nullable(),
      key: z.string(),
      customKeyIdentifier: z.string().optional(),
      thumbprint: z.string(),
      thumbprintSha256: z.string(),
      startMs: z.number(),
      endMs: z.number(),
      visibleFromMs,
    }),
  ),
  federatedIdentityCredentials: z.array(
    z.object({
      id: z.string(),
      name: z.string(),
      issuer: z.string(),
      subject: z.string(),
      audiences: strings,
      description: z.string().nullable(),
      visibleFromMs,
    }),
  ),
  tokenLifetimeSeconds: z.number().nullable(),
  refreshInSeconds: z.number().nullable(),
  other: z.record(z.string(), z.unknown()),
  createdMs: z.number(),
});

const servicePrincipal = z.object({
  id: z.string(),
  appId: z.string(),
  tenantId: z.string(),
  owners: strings,
  displayName: z.string(),
  accountEnabled: z.boolean(),
  appRoleAssignmentRequired: z.boolean(),
  servicePrincipalType: z.enum(['Application', 'ManagedIdentity']),
  alternativeNames: strings,
  other: z.record(z.string(), z.unknown()),
  createdMs: z.number(),
});

const assignment = z.object({
  id: z.string(),
  principalId: z.string(),
  resourceId: z.string(),
  appRoleId: z.string(),
  createdMs: z.number(),
  visibleFromMs,
});

/** A whole directory as JSON. Secrets are in it as hashes only. */
export const snapshotSchema = z.object({
  format: z.literal('local-entra'),
  version: z.literal(1),
  tenants: z.array(z.object({ id: z.string(), displayName: z.string(), domains: strings })).min(1),
  applications: z.array(application),
  servicePrincipals: z.array(servicePrincipal),
  assignments: z.array(assignment),
});
export type Snapshot = z.output<typeof snapshotSchema>;

export const takeSnapshot = (directory: Directory): Snapshot => {
  const tenants = [...directory.tenants()];
  const servicePrincipals = tenants.flatMap(({ id }) => [...directory.servicePrincipals(id)]);
  return {
    format: 'local-entra',
    version: 1,
    tenants,
    applications: tenants.flatMap(({ id }) => [...directory.applications(id)]),
    servicePrincipals,
    assignments: servicePrincipals.flatMap(({ id }) => directory.assignmentsOf(id)),
  };
};

/** Puts a snapshot, or the next part of one, into a directory. Parts come in the order of the members. */
export const restoreSnapshot = (directory: Directory, part: Partial<Snapshot>): void => {
  for (const tenant of part.tenants ?? []) directory.addTenant(tenant);
  for (const application of part.applications ?? []) directory.addApplication(compactLists(application));
  for (const principal of part.servicePrincipals ?? [])
    directory.addServicePrincipal(compactLists(principal));
  for (const assignment of part.assignments ?? []) directory.addAssignment(assignment);
};

const compactLists = <Entity extends object>(entity: Entity): Entity => {
  for (const [name, value] of Object.entries(entity) as [keyof Entity, unknown][]) {
    if (Array.isArray(value)) entity[name] = compact(value) as Entity[keyof Entity];
  }
  return entity;
};
