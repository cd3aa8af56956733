import { verify as verifySignature, type KeyObject } from 'node:crypto';
import { assertNumbers } from './assert-number.ts';
import { failedCheck, isKeyIssuer, isTokenVersion, type Claims, type TokenVersion } from './claims.ts';
import { maxTokenLength, parseCompactJws } from './compact-jws.ts';
import { InvalidTokenError, type TokenCheck } from './errors.ts';
import { createKeyStore, type KeyStore } from './key-store.ts';
import type { EntraNetwork } from './network.ts';
import type { AuthObserver } from './observer.ts';
import { createPrincipalCache, digestOf } from './principal-cache.ts';
import { toPrincipal, type Principal } from './principal.ts';
import { createRecentDigests } from './recent-digests.ts';
import { createTrust, type Trust, type TrustOptions } from './trust.ts';

export interface TokenVerifierOptions extends TrustOptions {
  network: EntraNetwork;
  /** Milliseconds since 1970. Default `Date.now`. */
  clock?: () => number;
  /** How many verified tokens are remembered. Default 10,000; 0 verifies every token anew. */
  maxCachedTokens?: number;
  observer?: AuthObserver;
}

export interface TokenVerifierStats {
  /** Tokens that were known. */
  hits: number;
  /** Tokens that were verified anew, or refused. */
  misses: number;
  /** Verified tokens that are remembered now. */
  cachedTokens: number;
  /** Age of the oldest key set in use, in milliseconds; undefined while there is none. */
  keysAgeMs: number | undefined;
}

/** What an engine holds a token against, in jsonwebtoken's terms. */
export interface JwtVerifyOptions {
  readonly algorithms: ['RS256'];
  /** Absent when any tenant may call: then the issuer follows from the token's tenant, and is checked after. */
  readonly issuer?: string[];
  readonly audience: string[];
  /** Seconds. */
  readonly clockTolerance: number;
  /** Seconds since 1970, read anew at each verification. */
  readonly clockTimestamp: number;
}

/**
 * Verifies signature and registered claims in place of {@link TokenVerifier}'s own code: koa-jwt in the Koa adapter. Gives
 * the claims, or fails with jsonwebtoken's error. Form, key and every claim are checked by the verifier all the same.
 */
export type JwtEngine = (token: string, key: KeyObject, options: JwtVerifyOptions) => Promise<unknown>;

export interface VerifyOptions {
  /** Sent along if this call has to fetch keys: `x-request-id`, `traceparent`. */
  headers?: Readonly<Record<string, string>>;
}

/** Names the engine in the options. Not public: whoever could give one could let any token pass. */
export const jwtEngine = Symbol('jwtEngine');

/** What the Koa adapter may ask for besides. */
export interface EngineVerifyOptions extends VerifyOptions {
  /** Default is Node's `crypto.verify`, which costs half of what a JWT library does. */
  [jwtEngine]?: JwtEngine;
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
  /**
   * Fetches the keys if there are none.
   *
   * @throws IdentityUnavailableError with an {@link UnknownTenantError} as its cause where there is no such tenant
   */
  ready(): Promise<void>;
  stats(): TokenVerifierStats;
}

/** What a client may have sent, short enough for a log line. */
const bounded = (value: unknown): unknown => (typeof value === 'string' ? value.slice(0, 200) : typeof value);

const found = (kid: string, { iss, aud, ver }: Claims): Record<string, unknown> => ({
  kid: bounded(kid),
  iss: bounded(iss),
  aud: bounded(aud),
  ver: bounded(ver),
});

/** jsonwebtoken checks the signature before any claim; its failures differ by name and message. */
const isSignatureFailure = (error: unknown): boolean => {
  const { name, message } = error as Error;
  const isClaim = /^(?:jwt (?:audience|issuer)|invalid (?:exp|nbf)) /.test(message);
  return name !== 'TokenExpiredError' && name !== 'NotBeforeError' && !isClaim;
};

const jwtOptionsOf = ({ rules }: Trust, clock: () => number): JwtVerifyOptions => {
  const { tenants, versions, audiences, issuerOf, skewSeconds } = rules;
  return {
    algorithms: ['RS256'],
    ...(tenants !== 'any' && {
      issuer: [...versions].flatMap((version) => [...tenants].map((tenant) => issuerOf(version, tenant))),
    }),
    audience: [...new Set([...versions].flatMap((version) => [...audiences[version]]))],
    clockTolerance: skewSeconds,
    get clockTimestamp() {
      return Math.floor(clock() / 1000);
    },
  };
};

/** Makes a verifier for the app-only tokens of one API. @throws TypeError for options that cannot be meant */
export const createTokenVerifier = (options: TokenVerifierOptions): TokenVerifier => {
  const { network, clock = Date.now, maxCachedTokens = 10_000, observer = {} } = options;
  assertNumbers({ maxCachedTokens }, { maxCachedTokens: [0, 10_000_000] });
  const trust = createTrust(options);
  const jwtOptions = jwtOptionsOf(trust, clock);
  const stores = new Map<TokenVersion, KeyStore>(
    Object.entries(trust.keyUrls).map(([version, url]) => [
      version as TokenVersion,
      createKeyStore({ url, network, clock, observer }),
    ]),
  );
  const allStores = [...stores.values()];
  const cache = createPrincipalCache({
    maxEntries: maxCachedTokens,
    trusts: (key, nowMs) => {
      for (const store of allStores) if (store.trusts(key, nowMs)) return true;
      return false;
    },
  });

  const recent = createRecentDigests();
  const counts = { hits: 0, misses: 0 };

  const verifyAnew = async (
    token: string,
    id: string | undefined,
    { headers, [jwtEngine]: engine }: EngineVerifyOptions,
  ) => {
    counts.misses += 1;
    const { kid, claims: unverified, signingInput, signature } = parseCompactJws(token);
    const refuse = (check: TokenCheck): never => {
      throw new InvalidTokenError(check, { logFields: found(kid, unverified) });
    };
    const { ver } = unverified;
    const store = isTokenVersion(ver) ? stores.get(ver) : undefined;
    if (store === undefined) return refuse('version');
    let key = store.peek(kid, clock());
    if (key === undefined) {
      // A token for somebody else is no reason to fetch keys: it would use up the one fetch for unknown names.
      const failed = failedCheck(unverified, trust.rules, clock() / 1000);
      if (failed !== undefined) return refuse(failed);
      key = await store.find(kid, headers);
    }
    if (key === undefined) return refuse('key_id');
    let claims = unverified;
    if (engine === undefined) {
      // RS256 (RFC 7518 §3.3): PKCS #1 v1.5 is what Node does with an RSA key unless told otherwise.
      const input = Buffer.from(signingInput, 'latin1');
      if (!verifySignature('sha256', input, key.publicKey, signature)) return refuse('signature');
    } else {
      try {
        claims = (await engine(token, key.publicKey, jwtOptions)) as Claims;
      } catch (error) {
        const failed = isSignatureFailure(error)
          ? undefined
          : failedCheck(unverified, trust.rules, clock() / 1000);
        return refuse(failed ?? 'signature');
      }
    }
    const failed = failedCheck(claims, trust.rules, clock() / 1000);
    if (failed !== undefined) return refuse(failed);
    if (!isKeyIssuer(key.issuer, claims, trust.rules)) return refuse('key_issuer');
    const principal = toPrincipal(claims);
    if (id !== undefined) cache.set(id, principal, key);
    return principal;
  };

  /** What stands for a token in the cache; undefined for one that is not looked for there. */
  const idOf = (token: string): string | undefined =>
    maxCachedTokens === 0 || token.length > maxTokenLength
      ? undefined
      : (recent.get(token) ?? digestOf(token));

  const recallAs = (id: string | undefined, token: string): Principal | undefined => {
    if (id === undefined) return undefined;
    const principal = cache.get(id, clock());
    if (principal === undefined) return undefined;
    counts.hits += 1;
    recent.add(token, id);
    return principal;
  };

  return {
    recall: (token) => recallAs(idOf(token), token),
    verify(token, verifyOptions: EngineVerifyOptions = {}) {
      const id = idOf(token);
      const principal = recallAs(id, token);
      return principal === undefined ? verifyAnew(token, id, verifyOptions) : Promise.resolve(principal);
    },
    async ready() {
      await Promise.all(allStores.map((store) => store.ready()));
    },
    stats() {
      const ages = allStores.map((store) => store.ageMs()).filter((age) => age !== undefined);
      const keysAgeMs = ages.length > 0 ? Math.max(...ages) : undefined;
      return { ...counts, cachedTokens: cache.size(), keysAgeMs };
    },
  };
};
