import { authorityOrigin } from './authority.ts';
import { isGuid } from './claims.ts';
import { createCredentialChain } from './credentials/credential-chain.ts';
import { createCredentialSource, type ClientCredential } from './credentials/client-credential.ts';
import { IdentityUnavailableError } from './errors.ts';
import { createPlatformNetwork, type EntraNetwork } from './network.ts';
import type { AcquisitionReason, AuthObserver } from './observer.ts';
import type { SharedTokenCache } from './shared-token-cache.ts';
import type { TokenRequester } from './token-requester.ts';

export interface TokenSourceOptions {
  /** Origin of the authority, such as `https://login.microsoftonline.com`. */
  authorityHost: URL | string;
  tenantId: string;
  /** Client id (GUID) of the application that asks. */
  clientId: string;
  /** One credential, or several in the order in which they are tried. */
  credential: ClientCredential | readonly ClientCredential[];
  network: EntraNetwork;
  /** Reaches the token endpoint of a managed identity, which is plain http. Default {@link createPlatformNetwork}. */
  platformNetwork?: EntraNetwork;
  /**
   * Tells Entra and APIs that claims challenges are understood here (`xms_cc` with `cp1`), so that they may be sent; with
   * {@link createDownstreamApi} they are. Default false.
   */
  takesClaimsChallenges?: boolean;
  /** Tokens shared with other processes. Default none. */
  sharedCache?: SharedTokenCache;
  /** How many tokens are held. Default 10,000. */
  maxTokens?: number;
  observer?: AuthObserver;
  /** Milliseconds since 1970, running at the pace of `Date.now`, which MSAL uses. Default `Date.now`. */
  clock?: () => number;
  /** Spreads refreshes; from 0 to 1. Default `Math.random`. */
  random?: () => number;
}

export interface TokenRequest {
  /** `<App ID URI or client id of the API>/.default`. */
  scope: string;
  /** Sent along if this call has to ask Entra: `x-request-id`, `traceparent`. */
  headers?: Readonly<Record<string, string>>;
  /** Answer to a claims challenge. Entra is asked once for each text; after that its token serves this scope. */
  claims?: string;
  /** A token that the API has refused (401): another one is got, at most once a minute. */
  refused?: string;
}

export interface AcquiredToken {
  readonly accessToken: string;
  readonly expiresAt: Date;
  /** Whether it was at hand. */
  readonly fromCache: boolean;
  /** How long the call took, in milliseconds. */
  readonly durationMs: number;
}

export interface TokenSourceStats {
  /** Calls that were answered from memory. */
  hits: number;
  /** Requests that went past it. */
  acquisitions: number;
  failures: number;
  /** Tokens held now. */
  tokens: number;
}

/** Tokens of one application. */
export interface TokenSource {
  /**
   * A token that is still valid: from memory where possible, else from Entra, one request at a time for each scope.
   *
   * @throws TypeError unless the scope ends in `/.default`
   * @throws {@link IdentityUnavailableError} when Entra cannot be reached and no valid token is at hand
   * @throws TokenAcquisitionError when Entra refuses, or no credential can be used
   */
  getToken(request: TokenRequest): Promise<AcquiredToken>;
  stats(): TokenSourceStats;
}

/** A token is replaced in the background when this much of its life is left, and up to twice as much by chance … */
const refreshMarginMs = 5 * 60_000;
/** … or this part of its life, if that is less. */
const refreshMarginShare = 0.2;
/** After a failed background refresh, the next one waits for this long. */
const retryRefreshMs = 30_000;
/** After a failure without a `Retry-After`, callers without a token are answered without a request for this long. */
const coldRetryMs = 1000;
/** An API that refuses every token must not make a token request of every call. */
const replacementIntervalMs = 60_000;

interface HeldToken {
  readonly accessToken: string;
  readonly expiresAtMs: number;
  refreshAtMs: number;
  readonly claims: string | undefined;
}

interface Entry {
  readonly scope: string;
  readonly requester: Promise<TokenRequester>;
  /** In flight, by the claims asked for. */
  readonly inFlight: Map<string | undefined, Promise<AcquiredToken>>;
  token?: HeldToken;
  failure?: { error: unknown; untilMs: number };
  replacedAtMs: number;
}

const toAcquired = (token: HeldToken): AcquiredToken => ({
  accessToken: token.accessToken,
  expiresAt: new Date(token.expiresAtMs),
  fromCache: true,
  durationMs: 0,
});

/** Seconds that the other side asked to be left alone, if it did. */
const pauseMsOf = (error: unknown): number =>
  error instanceof IdentityUnavailableError && error.logFields['throttled'] === true
    ? error.retryAfterSeconds * 1000
    : coldRetryMs;

/** Makes the token source of an application: a map in front of MSAL, which it asks once per scope and lifetime. */
export const createTokenSource = ({
  authorityHost,
  tenantId,
  clientId,
  credential,
  network,
  platformNetwork = createPlatformNetwork(),
  takesClaimsChallenges = false,
  sharedCache,
  maxTokens = 10_000,
  observer = {},
  clock = Date.now,
  random = Math.random,
}: TokenSourceOptions): TokenSource => {
  if (!isGuid(tenantId)) throw new TypeError('tenantId must be a GUID');
  if (!isGuid(clientId)) throw new TypeError('clientId must be a GUID');
  const origin = authorityOrigin(authorityHost);
  const list = Array.isArray(credential)
    ? (credential as readonly ClientCredential[])
    : [credential as ClientCredential];
  const dependencies = { clientId, clock, platformNetwork };
  const credentials = createCredentialChain(
    list.map((each) => createCredentialSource(each, dependencies)),
    clock,
  );
  // MSAL takes a while to load: begun here, and left out where tokens are only verified.
  const msalPart = import('./token-requester.ts');
  const entries = new Map<string, Entry>();
  const counts = { hits: 0, acquisitions: 0, failures: 0 };

  const hold = (
    entry: Entry,
    accessToken: string,
    expiresAtMs: number,
    refreshOnMs: number,
    claims?: string,
  ): void => {
    const lifeMs = expiresAtMs - clock();
    const marginMs = Math.min(refreshMarginMs, lifeMs * refreshMarginShare) * (1 + random());
    const refreshAtMs = Math.min(refreshOnMs, expiresAtMs - marginMs);
    entry.token = { accessToken, expiresAtMs, refreshAtMs, claims };
    delete entry.failure;
  };

  const requestToken = async (
    entry: Entry,
    reason: AcquisitionReason,
    { headers = {}, claims }: TokenRequest,
  ): Promise<AcquiredToken> => {
    const { scope, requester, token: previous } = entry;
    const startMs = performance.now();
    counts.acquisitions += 1;
    try {
      // Another process may have refreshed the token: only if the shared one is the old one too, Entra is asked.
      const isShared = sharedCache !== undefined && reason === 'refresh';
      const msal = await requester;
      let result = await msal.acquire({
        headers,
        claims,
        skipCache: previous !== undefined && !isShared,
      });
      if (result.accessToken === previous?.accessToken) {
        result = await msal.acquire({ headers, claims, skipCache: true });
      }
      const { accessToken, expiresOn, refreshOn, fromCache } = result;
      if (accessToken === '' || expiresOn === null) throw new Error('MSAL returned no token');
      hold(entry, accessToken, expiresOn.getTime(), refreshOn?.getTime() ?? Infinity, claims);
      const durationMs = performance.now() - startMs;
      observer.tokenAcquired?.({ scope, reason, outcome: 'ok', fromSharedCache: fromCache, durationMs });
      return { accessToken, expiresAt: new Date(expiresOn), fromCache, durationMs };
    } catch (error) {
      counts.failures += 1;
      const pauseMs = pauseMsOf(error);
      entry.failure = { error, untilMs: clock() + pauseMs };
      if (entry.token) entry.token.refreshAtMs = clock() + Math.max(pauseMs, retryRefreshMs);
      const outcome = error instanceof IdentityUnavailableError ? 'unavailable' : 'refused';
      const durationMs = performance.now() - startMs;
      observer.tokenAcquired?.({ scope, reason, outcome, fromSharedCache: false, durationMs, error });
      throw error;
    }
  };

  /** Single flight. */
  const acquire = (
    entry: Entry,
    reason: AcquisitionReason,
    request: TokenRequest,
  ): Promise<AcquiredToken> => {
    const { inFlight } = entry;
    let pending = inFlight.get(request.claims);
    if (pending === undefined) {
      const isPaused = entry.failure !== undefined && clock() < entry.failure.untilMs;
      if (isPaused) return Promise.reject(entry.failure?.error);
      pending = requestToken(entry, reason, request).finally(() => inFlight.delete(request.claims));
      inFlight.set(request.claims, pending);
    }
    return pending;
  };

  /** Tokens that have ended go first, then those that were asked for first. MSAL's memory of them goes along. */
  const makeRoom = (): void => {
    if (entries.size < maxTokens) return;
    const now = clock();
    for (const [key, { token }] of entries) if (token && now >= token.expiresAtMs) entries.delete(key);
    const oldest = entries.keys();
    while (entries.size >= maxTokens) entries.delete(oldest.next().value ?? '');
  };

  const createRequester = async (scope: string): Promise<TokenRequester> => {
    const partition = { origin, tenantId, clientId, scope };
    const [{ createTokenRequester }, cachePlugin] = await Promise.all([
      msalPart,
      sharedCache?.pluginFor(partition),
    ]);
    return createTokenRequester({
      ...partition,
      credentials,
      network,
      clock,
      cachePlugin,
      takesClaimsChallenges,
    });
  };

  const createEntry = (scope: string): Entry => {
    if (!scope.endsWith('/.default')) throw new TypeError('the scope of an application ends in /.default');
    makeRoom();
    const entry: Entry = {
      scope,
      requester: createRequester(scope),
      inFlight: new Map(),
      replacedAtMs: -Infinity,
    };
    entries.set(scope, entry);
    return entry;
  };

  const mayReplace = (entry: Entry, { refused }: TokenRequest, now: number): boolean => {
    if (refused === undefined || entry.token?.accessToken !== refused) return false;
    if (now < entry.replacedAtMs + replacementIntervalMs) return false;
    entry.replacedAtMs = now;
    return true;
  };

  return {
    async getToken(request) {
      const entry = entries.get(request.scope) ?? createEntry(request.scope);
      const now = clock();
      const { token } = entry;
      if (token === undefined || now >= token.expiresAtMs) return acquire(entry, 'cold', request);
      if (request.claims !== undefined && request.claims !== token.claims)
        return acquire(entry, 'claims', request);
      if (mayReplace(entry, request, now)) return acquire(entry, 'replacement', request);
      if (now >= token.refreshAtMs) {
        // The token in hand is good whatever becomes of this; a failure is in `entry.failure`.
        const refresh = token.claims === undefined ? request : { ...request, claims: token.claims };
        acquire(entry, 'refresh', refresh).catch(() => {});
      }
      counts.hits += 1;
      return toAcquired(token);
    },
    stats: () => ({ ...counts, tokens: entries.size }),
  };
};
