import { verify } from 'node:crypto';
import type { EntraContext } from '../entra-context.ts';
import type { ServicePrincipal, Tenant } from '../directory/entities.ts';
import { grantsOn } from '../directory/grants.ts';
import { findResource } from '../token/find-resource.ts';
import { unauthorized } from './graph-error.ts';
import { graphAppId } from './graph-registration.ts';

export interface GraphCaller {
  tenant: Tenant;
  caller: ServicePrincipal;
  permissions: ReadonlySet<string>;
}

const parse = (part: string): Record<string, unknown> => {
  const value: unknown = JSON.parse(Buffer.from(part, 'base64url').toString('utf8'));
  if (typeof value !== 'object' || value === null) throw new TypeError('not an object');
  return value as Record<string, unknown>;
};

const readClaims = (entra: EntraContext, token: string): Record<string, unknown> => {
  try {
    const [header = '', claims = '', signature = '', ...more] = token.split('.');
    const { alg, kid } = parse(header);
    const key = entra.signingKeys.published().find((candidate) => candidate.kid === kid);
    const input = Buffer.from(`${header}.${claims}`);
    const signatureBytes = Buffer.from(signature, 'base64url');
    if (
      more.length === 0 &&
      alg === 'RS256' &&
      key &&
      verify('sha256', input, key.publicKey, signatureBytes)
    ) {
      return parse(claims);
    }
  } catch {
    throw unauthorized('CompactToken parsing failed with error code: 80049217');
  }
  throw unauthorized('Access token validation failure. Invalid signature.');
};

/** What the token holds and is still granted: its text alone is not believed. */
const permissionsOf = (
  { directory, clock }: EntraContext,
  caller: ServicePrincipal,
  api: ServicePrincipal,
  claimed: unknown,
): Set<string> => {
  const roles = Array.isArray(claimed) ? claimed.map(String) : [];
  const granted = new Set(grantsOn(directory, caller, api, clock()).map(({ role }) => role?.value));
  return new Set(roles.filter((value) => granted.has(value)));
};

/**
 * Who calls Graph, by a token that this local-entra issued for Graph (or for its own origin, which is Graph's here).
 *
 * @throws {GraphError} 401 otherwise.
 */
export const verifyGraphToken = (entra: EntraContext, authorization: string): GraphCaller => {
  const [, token] = /^bearer +(\S+)$/i.exec(authorization) ?? [];
  if (token === undefined) throw unauthorized('Access token is empty.');
  const claims = readClaims(entra, token);
  const origin = entra.origin();
  const nowSeconds = entra.clock() / 1000;
  const { exp, nbf = 0, tid } = claims;
  if (typeof exp !== 'number' || typeof nbf !== 'number' || exp <= nowSeconds || nbf > nowSeconds) {
    throw unauthorized('Lifetime validation failed, the token is expired.');
  }
  if (![`${origin}/${String(tid)}/`, `${origin}/${String(tid)}/v2.0`].includes(String(claims['iss']))) {
    throw unauthorized('Access token validation failure. Invalid issuer.');
  }
  const tenant = entra.directory.findTenant(String(tid));
  const caller = tenant && entra.directory.servicePrincipalById(tenant.id, String(claims['oid']));
  if (!tenant || !caller)
    throw unauthorized('The identity of the calling application could not be established.');
  const api = findResource(entra, tenant.id, String(claims['aud']));
  if (api?.appId !== graphAppId) throw unauthorized('Access token validation failure. Invalid audience.');
  return { tenant, caller, permissions: permissionsOf(entra, caller, api, claims['roles']) };
};
