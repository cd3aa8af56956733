import type { AuthenticationResult } from '@azure/msal-node';
import { assertNumbers } from './assert-number.ts';
import { authorityOrigin } from './authority.ts';
import { isGuid } from './claims.ts';
import { contextHeadersOf } from './context-headers.ts';
import { createCredentialChain } from './credentials/credential-chain.ts';
import { createCredentialSource, type ClientCredential } from './credentials/client-credential.ts';
import { IdentityUnavailableError } from './errors.ts';
import { createPlatformNetwork, type EntraNetwork } from './network.ts';
import type { AcquisitionReason, AuthObserver } from './observer.ts';
import { isOver } from './pause.ts';
import { spreadRetryAfter } from './retry-after.ts';
import type { SharedTokenCache } from './shared-token-cache.ts';
import { isAccessToken, isTokenLife } from './token-answer.ts';
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
  /** For how many scopes tokens are held, 1 to 1,000,000. Default 10,000. */
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
  /** `x-request-id`, `traceparent` and `tracestate` are sent along if this call has to ask Entra; others are not. */
  headers?: Readonly<Record<string, string>>;
  /**
   * Answer to a claims challenge. Entra is asked once for each text, and for eight texts a minute; the token serves this
   * scope from then on. Beyond that the answer is the token at hand.
   */
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

/** An API that asks for ever new claims must not make a token request of every call … */
const maxAnswers = 8;
/** … so only as many texts are asked for in this time, and each of them once. */
const answerIntervalMs = 60_000;

interface HeldToken {
  readonly accessToken: string;
  readonly expiresAtMs: number;
  readonly refreshAtMs: number;
  readonly claims: string | undefined;
}

interface Failure {
  readonly error: unknown;
  readonly atMs: number;
  readonly pauseMs: number;
}

/** What came of a claims challenge. */
interface Answer {
  readonly askedAtMs: number;
  token?: HeldToken;
  failure?: Failure;
}

interface Entry {
  readonly scope: string;
  readonly requester: Promise<TokenRequester>;
  /** In flight, by the claims asked for. */
  readonly inFlight: Map<string | undefined, Promise<AcquiredToken>>;
  /** By the claims asked for, those asked for first in front. */
  readonly answers: Map<string, Answer>;
  token?: HeldToken;
  /** Of a request that no challenge caused: what an API asks for must not cost the others their token. */
  failure?: Failure;
  replacedAtMs: number;
}

const isLiving = (token: HeldToken | undefined, now: number): token is HeldToken =>
  token !== undefined && now < token.expiresAtMs;

const isGood = ({ accessToken, expiresOn }: AuthenticationResult): boolean =>
  isAccessToken(accessToken) && isTokenLife((expiresOn?.getTime() ?? 0) - Date.now());

const toAcquired = (token: HeldToken): AcquiredToken => ({
  accessToken: token.accessToken,
  expiresAt: new Date(token.expiresAtMs),
  fromCache: true,
  durationMs: 0,
});

/** How long to leave the other side alone: as long as it asked for, if it did. */
const pauseMsOf = (error: unknown): number =>
  error instanceof IdentityUnavailableError && error.logFields['throttled'] === true
    ? error.retryAfterSeconds * 1000
    : coldRetryMs;

/** A request that asks for these claims in place of its own. */
const withClaims = (request: TokenRequest, claims: string | undefined): TokenRequest => {
  const { claims: _, ...plain } = request;
  return claims === undefined ? plain : { ...plain, claims };
};

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
  assertNumbers({ maxTokens }, { maxTokens: [1, 1_000_000] });
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

  const hold = (entry: Entry, token: Omit<HeldToken, 'refreshAtMs'>, refreshOnMs: number): void => {
    const { expiresAtMs, claims } = token;
    const lifeMs = expiresAtMs - clock();
    const marginMs = Math.min(refreshMarginMs, lifeMs * refreshMarginShare) * (1 + random());
    const held = { ...token, refreshAtMs: Math.min(refreshOnMs, expiresAtMs - marginMs) };
    const answer = claims === undefined ? undefined : entry.answers.get(claims);
    if (answer !== undefined) answer.token = held;
    entry.token = held;
    delete entry.failure;
  };

  /** From MSAL's memory or the shared cache where a token of there will do, else from Entra. */
  const ask = async (
    { requester, token: previous }: Entry,
    reason: AcquisitionReason,
    { headers, claims }: TokenRequest,
  ): Promise<AuthenticationResult> => {
    const msal = await requester;
    const acquisition = { headers: contextHeadersOf(headers), claims };
    // Another process may have refreshed the token; and one that has ended is not taken from anywhere.
    const skipCache = reason === 'replacement' || (reason === 'refresh' && sharedCache === undefined);
    let result = await msal.acquire({ ...acquisition, skipCache });
    if (result.fromCache && (result.accessToken === previous?.accessToken || !isGood(result))) {
      result = await msal.acquire({ ...acquisition, skipCache: true });
    }
    if (isGood(result)) return result;
    const logFields = { scope: result.scopes, reason: 'the answer holds no token that can be used' };
    throw new IdentityUnavailableError({ retryAfterSeconds: spreadRetryAfter(), logFields });
  };

  const noteFailure = (
    entry: Entry,
    reason: AcquisitionReason,
    claims: string | undefined,
    error: unknown,
  ) => {
    counts.failures += 1;
    const failure = { error, atMs: clock(), pauseMs: pauseMsOf(error) };
    if (reason !== 'claims') entry.failure = failure;
    else if (claims !== undefined) Object.assign(entry.answers.get(claims) ?? {}, { failure });
  };

  const requestToken = async (
    entry: Entry,
    reason: AcquisitionReason,
    request: TokenRequest,
  ): Promise<AcquiredToken> => {
    const { scope } = entry;
    const { claims } = request;
    const startMs = performance.now();
    counts.acquisitions += 1;
    try {
      const { accessToken, expiresOn, refreshOn, fromCache } = await ask(entry, reason, request);
      // MSAL counts by Date.now.
      const offsetMs = clock() - Date.now();
      const expiresAtMs = (expiresOn?.getTime() ?? 0) + offsetMs;
      hold(entry, { accessToken, expiresAtMs, claims }, (refreshOn?.getTime() ?? Infinity) + offsetMs);
      const durationMs = performance.now() - startMs;
      observer.tokenAcquired?.({ scope, reason, outcome: 'ok', fromSharedCache: fromCache, durationMs });
      return { accessToken, expiresAt: new Date(expiresAtMs), fromCache, durationMs };
    } catch (error) {
      noteFailure(entry, reason, claims, error);
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
      const { failure } = entry;
      const isPaused =
        reason !== 'claims' && failure !== undefined && !isOver(failure.atMs, failure.pauseMs, clock());
      if (isPaused) return Promise.reject(failure.error);
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
      answers: new Map(),
      replacedAtMs: -Infinity,
    };
    entries.set(scope, entry);
    return entry;
  };

  const mayReplace = (entry: Entry, { refused }: TokenRequest, now: number): boolean => {
    if (refused === undefined || entry.token?.accessToken !== refused) return false;
    if (!isOver(entry.replacedAtMs, replacementIntervalMs, now)) return false;
    entry.replacedAtMs = now;
    return true;
  };

  /** Whether Entra is to be asked for these claims, which then counts. */
  const mayAnswer = ({ answers }: Entry, claims: string, now: number): boolean => {
    const [oldest] = answers.has(claims) ? [claims] : answers.keys();
    const askedAtMs = oldest === undefined ? undefined : answers.get(oldest)?.askedAtMs;
    const isFull = answers.has(claims) || answers.size >= maxAnswers;
    if (isFull && askedAtMs !== undefined && !isOver(askedAtMs, answerIntervalMs, now)) return false;
    if (isFull && oldest !== undefined) answers.delete(oldest);
    answers.set(claims, { askedAtMs: now });
    return true;
  };

  /** The token with these claims; undefined if they are not asked for now. */
  const answerChallenge = (
    entry: Entry,
    request: TokenRequest & { claims: string },
    now: number,
  ): Promise<AcquiredToken> | undefined => {
    const { claims } = request;
    const { token, failure } = entry.answers.get(claims) ?? {};
    if (isLiving(token, now)) {
      entry.token = token;
      return undefined;
    }
    if (entry.inFlight.has(claims) || mayAnswer(entry, claims, now)) return acquire(entry, 'claims', request);
    return failure && Promise.reject(failure.error);
  };

  const isRefreshDue = ({ failure }: Entry, { refreshAtMs }: HeldToken, now: number): boolean =>
    now >= refreshAtMs &&
    (failure === undefined || isOver(failure.atMs, Math.max(failure.pauseMs, retryRefreshMs), now));

  return {
    async getToken(request) {
      const entry = entries.get(request.scope) ?? createEntry(request.scope);
      const now = clock();
      const { claims } = request;
      if (claims !== undefined && (claims !== entry.token?.claims || !isLiving(entry.token, now))) {
        const answer = answerChallenge(entry, { ...request, claims }, now);
        if (answer !== undefined) return answer;
      }
      const { token } = entry;
      if (!isLiving(token, now)) return acquire(entry, 'cold', withClaims(request, undefined));
      if (mayReplace(entry, request, now))
        return acquire(entry, 'replacement', withClaims(request, token.claims));
      // The token in hand is good whatever becomes of this; a failure is in `entry.failure`.
      if (isRefreshDue(entry, token, now))
        acquire(entry, 'refresh', withClaims(request, token.claims)).catch(() => {});
      counts.hits += 1;
      return toAcquired(token);
    },
    stats: () => ({ ...counts, tokens: entries.size }),
  };
};
