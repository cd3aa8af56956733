import { randomBytes } from 'node:crypto';
import type { SigningKey } from '../certificates/signing-keys.ts';
import type { Application, OptionalClaim, ServicePrincipal } from '../directory/entities.ts';
import { tokenVersionOf } from '../directory/token-version.ts';
import { signJwt } from './sign-jwt.ts';
import type { ClientAuthentication } from './token-state.ts';

/** Tokens say that they were issued this long ago, for resources whose clocks are behind. */
export const backdatedSeconds = 300;

export interface AccessTokenInput {
  tenantId: string;
  client: ServicePrincipal;
  clientAuthentication: ClientAuthentication;
  resourceApplication: Application;
  /** The resource as the request names it. */
  requestedResource: string;
  /** Values of the granted roles. */
  roles: readonly string[];
  nowSeconds: number;
  lifetimeSeconds: number;
}

export interface IssuedToken {
  token: string;
  /** The token's id, for logs. */
  uti: string;
  /** `nbf` and `exp`, seconds since 1970. */
  notBefore: number;
  expiresOn: number;
}

/** Random texts of these many bytes, from one call: each call costs as much as the claims around it. */
const opaque = (...lengths: readonly number[]): string[] => {
  const bytes = randomBytes(lengths.reduce((sum, length) => sum + length, 0));
  let start = 0;
  return lengths.map((length) => bytes.toString('base64url', start, (start += length)));
};

const claimOf = (application: Application, name: string): OptionalClaim | undefined =>
  application.accessTokenClaims.find((claim) => claim.name === name);

const commonClaims = (input: AccessTokenInput, uti: string): Record<string, unknown> => {
  const [aio, rh, ftd] = opaque(32, 40, 32);
  return {
    iat: input.nowSeconds - backdatedSeconds,
    nbf: input.nowSeconds - backdatedSeconds,
    exp: input.nowSeconds + input.lifetimeSeconds,
    aio,
    ...(claimOf(input.resourceApplication, 'idtyp') && { idtyp: 'app' }),
    oid: input.client.id,
    rh: `1.${rh}.`,
    // Absent, not empty, without an assignment.
    ...(input.roles.length > 0 && { roles: input.roles }),
    sub: input.client.id,
    tid: input.tenantId,
    uti,
    xms_ftd: ftd,
  };
};

const versionTwo = (input: AccessTokenInput, origin: string, uti: string): Record<string, unknown> => ({
  // Always the client id, however the resource was named.
  aud: input.resourceApplication.appId,
  iss: `${origin}/${input.tenantId}/v2.0`,
  ...commonClaims(input, uti),
  azp: input.client.appId,
  azpacr: input.clientAuthentication,
  ver: '2.0',
});

const versionOne = (input: AccessTokenInput, origin: string, uti: string): Record<string, unknown> => {
  const issuer = `${origin}/${input.tenantId}/`;
  const useGuid = claimOf(input.resourceApplication, 'aud')?.additionalProperties.includes('use_guid');
  return {
    aud: useGuid ? input.resourceApplication.appId : input.requestedResource,
    iss: issuer,
    ...commonClaims(input, uti),
    appid: input.client.appId,
    appidacr: input.clientAuthentication,
    idp: issuer,
    ver: '1.0',
  };
};

/** Header and claims of a token, not signed yet. */
export interface AccessTokenParts {
  header: Record<string, unknown>;
  claims: Record<string, unknown>;
  uti: string;
}

/** An app-only access token in the format that the resource's registration asks for. */
export const accessTokenParts = (
  input: AccessTokenInput,
  key: SigningKey,
  origin: string,
): AccessTokenParts => {
  const [uti = ''] = opaque(16);
  const isVersionTwo = tokenVersionOf(input.resourceApplication) === 2;
  return {
    header: { typ: 'JWT', alg: 'RS256', ...(!isVersionTwo && { x5t: key.kid }), kid: key.kid },
    claims: isVersionTwo ? versionTwo(input, origin, uti) : versionOne(input, origin, uti),
    uti,
  };
};

/** The same, signed. */
export const issueAccessToken = (input: AccessTokenInput, key: SigningKey, origin: string): IssuedToken => {
  const { header, claims, uti } = accessTokenParts(input, key, origin);
  return {
    token: signJwt(header, claims, key),
    uti,
    notBefore: input.nowSeconds - backdatedSeconds,
    expiresOn: input.nowSeconds + input.lifetimeSeconds,
  };
};
