import { createHmac, randomUUID, sign } from 'node:crypto';
import { z } from 'zod';
import type { EntraContext } from '../entra-context.ts';
import { graphUri } from '../graph/graph-registration.ts';
import { accessTokenParts, type AccessTokenInput } from '../token/access-token.ts';
import type { Application, ServicePrincipal, Tenant } from '../directory/entities.ts';

const members = z.record(z.string(), z.unknown());

/** A token as it is asked for. Everything has a default: alone it is a good token of version 2. */
export const forgeSchema = z.strictObject({
  /** GUID or domain. Default: the first tenant. */
  tenant: z.string().optional(),
  /** Client id of the caller. Default: one that does not exist. */
  client: z.string().optional(),
  /** Client id or App ID URI of the API. Default: Microsoft Graph. */
  resource: z.string().optional(),
  /** `roles`, whatever was granted. */
  roles: z.array(z.string()).default([]),
  /** Default: what the API asks for. */
  version: z.union([z.literal(1), z.literal(2)]).optional(),
  lifetimeSeconds: z.int().default(3600),
  /** Members of the header that replace its own; null takes one out. */
  header: members.default({}),
  /** Claims that replace its own; null takes one out. */
  claims: members.default({}),
  /**
   * What signs: `current`, the published `next`, a key that is `unpublished`, `public-as-hmac` (HS256 with the public
   * key as its secret) or `none`.
   */
  key: z.enum(['current', 'next', 'unpublished', 'public-as-hmac', 'none']).default('current'),
  /** Spoil the signature. */
  corruptSignature: z.boolean().default(false),
});

export type ForgeInput = z.input<typeof forgeSchema>;

/** Makes a token that this Entra would never issue, for tests of validators. */
export type Forge = (input?: ForgeInput) => Promise<string>;

type ForgeRequest = z.output<typeof forgeSchema>;

const encode = (part: object): string => Buffer.from(JSON.stringify(part)).toString('base64url');

const replaced = (own: object, wanted: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries({ ...own, ...wanted }).filter(([, value]) => value !== null));

const strangerIn = (tenant: Tenant): ServicePrincipal => ({
  id: randomUUID(),
  appId: randomUUID(),
  tenantId: tenant.id,
  owners: [],
  displayName: 'stranger',
  accountEnabled: true,
  appRoleAssignmentRequired: false,
  servicePrincipalType: 'Application',
  alternativeNames: [],
  other: {},
  createdMs: 0,
});

const inputOf = (entra: EntraContext, request: ForgeRequest): AccessTokenInput => {
  const { directory } = entra;
  const tenant =
    request.tenant === undefined ? [...directory.tenants()][0] : directory.findTenant(request.tenant);
  if (!tenant) throw new Error(`There is no tenant ${request.tenant}.`);
  const client =
    request.client === undefined
      ? strangerIn(tenant)
      : directory.servicePrincipalByAppId(tenant.id, request.client.toLowerCase());
  if (!client) throw new Error(`There is no client ${request.client} in the tenant ${tenant.id}.`);
  const name = request.resource ?? graphUri;
  const resource = directory.servicePrincipalByName(tenant.id, name);
  const application = resource && directory.applicationByAppId(resource.appId);
  if (!application) throw new Error(`There is no API ${name} in the tenant ${tenant.id}.`);
  const resourceApplication: Application =
    request.version === undefined
      ? application
      : { ...application, requestedAccessTokenVersion: request.version };
  return {
    tenantId: tenant.id,
    client,
    clientAuthentication: '1',
    resourceApplication,
    requestedResource: name,
    roles: request.roles,
    nowSeconds: Math.floor(entra.clock() / 1000),
    lifetimeSeconds: request.lifetimeSeconds,
  };
};

/** @throws {Error} that says what does not exist, or {z.ZodError} for a request that makes no sense. */
export const createForge =
  (entra: EntraContext): Forge =>
  async (input = {}) => {
    const request = forgeSchema.parse(input);
    const signer =
      request.key === 'unpublished' ? await entra.signingKeys.unpublished() : entra.signingKeys.current();
    const key = request.key === 'next' ? (entra.signingKeys.next() ?? signer) : signer;
    const parts = accessTokenParts(inputOf(entra, request), key, entra.origin());
    const own = {
      current: {},
      next: {},
      unpublished: {},
      'public-as-hmac': { alg: 'HS256' },
      none: { alg: 'none' },
    };
    const header = replaced({ ...parts.header, ...own[request.key] }, request.header);
    const signed = `${encode(header)}.${encode(replaced(parts.claims, request.claims))}`;
    const signature = signatures[request.key](signed, key);
    if (request.corruptSignature && signature.length > 0)
      signature.writeUInt8(signature.readUInt8(0) ^ 0xff, 0);
    return `${signed}.${signature.toString('base64url')}`;
  };

type Key = ReturnType<EntraContext['signingKeys']['current']>;
const rs256 = (signed: string, key: Key): Buffer => sign('sha256', Buffer.from(signed), key.privateKey);

const signatures: Readonly<Record<ForgeRequest['key'], (signed: string, key: Key) => Buffer>> = {
  current: rs256,
  next: rs256,
  unpublished: rs256,
  none: () => Buffer.alloc(0),
  'public-as-hmac': (signed, key) =>
    createHmac('sha256', key.publicKey.export({ type: 'spki', format: 'pem' }))
      .update(signed)
      .digest(),
};
