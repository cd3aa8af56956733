import { verify } from 'node:crypto';
import type { EntraContext } from '../entra-context.ts';
import type { ServicePrincipal, Tenant } from '../directory/entities.ts';
import { unauthorized } from './graph-error.ts';
import { graphAppId, graphUri } from './graph-registration.ts';

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
  const audiences = [graphAppId, graphUri, `${graphUri}/`, origin, `${origin}/`];
  if (!audiences.includes(String(claims['aud']))) {
    throw unauthorized('Access token validation failure. Invalid audience.');
  }
  const nowSeconds = entra.clock() / 1000;
  if (Number(claims['exp']) <= nowSeconds || Number(claims['nbf']) > nowSeconds) {
    throw unauthorized('Lifetime validation failed, the token is expired.');
  }
  const tenant = entra.directory.findTenant(String(claims['tid']));
  const caller = tenant && entra.directory.servicePrincipalById(tenant.id, String(claims['oid']));
  if (!tenant || !caller)
    throw unauthorized('The identity of the calling application could not be established.');
  const roles = Array.isArray(claims['roles']) ? claims['roles'].map(String) : [];
  return { tenant, caller, permissions: new Set(roles) };
};
