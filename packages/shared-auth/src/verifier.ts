import jsonwebtoken from 'jsonwebtoken';
import type { KeyObject } from 'node:crypto';
import { authorityOrigin } from './authority.ts';
import { failedCheck, isGuid, isKeyIssuer, type ClaimRules, type Claims } from './claims.ts';
import { maxTokenLength, parseCompactJws } from './compact-jws.ts';
import { InvalidTokenError, type TokenCheck } from './errors.ts';
import { createKeyStore } from './key-store.ts';
import type { EntraNetwork } from './network.ts';
import { createPrincipalCache } from './principal-cache.ts';
import { toPrincipal, type Principal } from './principal.ts';

export interface TokenVerifierOptions {
  /** Origin of the authority, such as `https://login.microsoftonline.com`. */
  authorityHost: URL | string;
  /** GUID of the tenant whose applications may call. */
  tenantId: string;
  /** Client id (GUID) of the API, the audience of its v2 tokens. */
  clientId: string;
  network: EntraNetwork;
  /** Milliseconds since 1970. Default `Date.now`. */
  clock?: () => number;
  /** Tolerated clock difference in seconds, 0 to 300. Default 300, as in .NET. */
  skewSeconds?: number;
  /** How many verified tokens are remembered. Default 10,000; 0 verifies every token anew. */
  maxCachedTokens?: number;
}

/** What jsonwebtoken, on its own or inside koa-jwt, holds a token against. */
export interface JwtVerifyOptions {
  readonly algorithms: ['RS256'];
  readonly issuer: string;
  readonly audience: string;
  /** Seconds. */
  readonly clockTolerance: number;
  /** Seconds since 1970, read anew at each verification. */
  readonly clockTimestamp: number;
}

/** Verifies signature and registered claims; resolves to the claims, or fails with jsonwebtoken's error. */
export type JwtEngine = (token: string, key: KeyObject, options: JwtVerifyOptions) => Promise<unknown>;

export interface VerifyOptions {
  /** Sent along if this call has to fetch keys: `x-request-id`, `traceparent`. */
  headers?: Readonly<Record<string, string>>;
  /** Default is jsonwebtoken; the Koa adapter has koa-jwt do it. */
  engine?: JwtEngine;
}

export interface TokenVerifier {
  /**
   * The application that the token stands for.
   *
   * @throws {@link InvalidTokenError} naming the check that failed
   * @throws IdentityUnavailableError when the keys are needed and cannot be fetched
   */
  verify(token: string, options?: VerifyOptions): Promise<Principal>;
  /** The same without waiting, for a token that was verified before and still is valid. */
  recall(token: string): Principal | undefined;
  /** Fetches the keys if there are none. @throws IdentityUnavailableError */
  ready(): Promise<void>;
}

const jsonwebtokenEngine: JwtEngine = async (token, key, options) => jsonwebtoken.verify(token, key, options);

/** jsonwebtoken tells its failures apart by class and message. */
const checkOf = (error: unknown): TokenCheck => {
  if (error instanceof jsonwebtoken.TokenExpiredError) return 'expired';
  if (error instanceof jsonwebtoken.NotBeforeError) return 'not_before';
  const message = error instanceof Error ? error.message : '';
  if (message.startsWith('jwt audience')) return 'audience';
  if (message.startsWith('jwt issuer')) return 'issuer';
  if (message.startsWith('invalid exp') || message.startsWith('invalid nbf')) return 'lifetime';
  return 'signature';
};

/** Short enough for a log line; the sender chose it. */
const bounded = (value: unknown): unknown => (typeof value === 'string' ? value.slice(0, 200) : typeof value);

const found = (kid: string, { iss, aud, ver }: Claims): Record<string, unknown> => ({
  kid: bounded(kid),
  iss: bounded(iss),
  aud: bounded(aud),
  ver: bounded(ver),
});

const assertGuid = (name: string, value: string): void => {
  if (!isGuid(value)) throw new TypeError(`${name} must be a GUID`);
};

/** Makes a verifier for the app-only tokens of one API. Throws a TypeError for options that cannot be meant. */
export const createTokenVerifier = ({
  authorityHost,
  tenantId,
  clientId,
  network,
  clock = Date.now,
  skewSeconds = 300,
  maxCachedTokens = 10_000,
}: TokenVerifierOptions): TokenVerifier => {
  assertGuid('tenantId', tenantId);
  assertGuid('clientId', clientId);
  if (!(skewSeconds >= 0 && skewSeconds <= 300)) throw new TypeError('skewSeconds must be 0 to 300');
  const authority = `${authorityOrigin(authorityHost)}/${tenantId.toLowerCase()}`;
  const rules: ClaimRules = {
    issuer: `${authority}/v2.0`,
    tenantId: tenantId.toLowerCase(),
    audience: clientId.toLowerCase(),
    skewSeconds,
  };
  const jwtOptions: JwtVerifyOptions = {
    algorithms: ['RS256'],
    issuer: rules.issuer,
    audience: rules.audience,
    clockTolerance: skewSeconds,
    get clockTimestamp() {
      return Math.floor(clock() / 1000);
    },
  };
  const keys = createKeyStore({ url: `${authority}/discovery/v2.0/keys`, network, clock });
  const cache = createPrincipalCache({
    maxEntries: maxCachedTokens,
    clock,
    trusts: (key) => keys.trusts(key),
  });

  const verifyAnew = async (token: string, { headers, engine = jsonwebtokenEngine }: VerifyOptions) => {
    const { kid, claims: unverified } = parseCompactJws(token);
    const refuse = (check: TokenCheck): never => {
      throw new InvalidTokenError(check, { logFields: found(kid, unverified) });
    };
    const key = await keys.find(kid, headers);
    if (key === undefined) return refuse('key_id');
    let claims: Claims;
    try {
      claims = (await engine(token, key.publicKey, jwtOptions)) as Claims;
    } catch (error) {
      return refuse(checkOf(error));
    }
    const failed = failedCheck(claims, rules, clock() / 1000);
    if (failed !== undefined) return refuse(failed);
    if (!isKeyIssuer(key.issuer, claims)) return refuse('key_issuer');
    const principal = toPrincipal(claims);
    cache.set(token, principal, key);
    return principal;
  };

  return {
    async verify(token, options = {}) {
      return cache.get(token) ?? verifyAnew(token, options);
    },
    recall(token) {
      return token.length > maxTokenLength ? undefined : cache.get(token);
    },
    ready: () => keys.ready(),
  };
};
