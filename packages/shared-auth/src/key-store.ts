import { IdentityUnavailableError } from './errors.ts';
import { fetchSigningKeys, KeySetError, type SigningKey } from './jwks.ts';
import type { EntraNetwork } from './network.ts';
import type { AuthObserver } from './observer.ts';
import { spreadRetryAfter } from './retry-after.ts';

export interface KeyStoreOptions {
  /** Address of the JWK set. */
  url: string;
  network: EntraNetwork;
  /** Milliseconds since 1970. */
  clock: () => number;
  observer: AuthObserver;
}

/** The keys of one issuer, cached as Entra asks for ("Keys metadata caching algorithm", signing-key-rollover). */
export interface KeyStore {
  /** The key of that name if it is at hand and fresh, without waiting. */
  peek(kid: string, nowMs: number): SigningKey | undefined;
  /**
   * The key of that name, or undefined when the issuer has none.
   *
   * @param headers - sent along if this call has to fetch
   * @throws {@link IdentityUnavailableError} when that cannot be known, because the keys cannot be fetched
   */
  find(kid: string, headers?: Readonly<Record<string, string>>): Promise<SigningKey | undefined>;
  /** Whether a key that was found earlier is still one of the issuer's. */
  trusts(key: SigningKey, nowMs: number): boolean;
  /** Fetches the keys if there are none. @throws {@link IdentityUnavailableError} */
  ready(): Promise<void>;
  /** How long ago the keys were fetched, in milliseconds; undefined before the first time. */
  ageMs(): number | undefined;
}

const minutes = 60_000;
const hours = 60 * minutes;

/** A set is looked up again in the background when it is this old. */
const refreshAfterMs = 1 * hours;
/** … and before it is used when it is this old. */
const maxAgeMs = 24 * hours;
/** Last known good: for how much longer a set serves when it cannot be fetched again. */
const lastKnownGoodMs = 1 * hours;
/** Unknown names cause at most one fetch in this time, so that a flood of them costs nothing. */
const unknownKidIntervalMs = 5 * minutes;
/** After a failed fetch with keys at hand, the next attempt waits for this long. */
const retryRefreshMs = 1 * minutes;
/** After a failed fetch with none, callers are answered without another for this long. */
const coldRetryMs = 1000;

interface KeySet {
  keys: ReadonlyMap<string, SigningKey>;
  fetchedAtMs: number;
}

/** Same name, same key, same issuer: the object stays, and with it the verified tokens that it vouches for. */
const keepUnchanged = (
  fetched: readonly SigningKey[],
  previous: KeySet | undefined,
): Map<string, SigningKey> =>
  new Map(
    fetched.map((key) => {
      const known = previous?.keys.get(key.kid);
      const same = known && known.issuer === key.issuer && known.publicKey.equals(key.publicKey);
      return [key.kid, same ? known : key];
    }),
  );

export const createKeyStore = ({ url, network, clock, observer }: KeyStoreOptions): KeyStore => {
  let current: KeySet | undefined;
  let inFlight: Promise<void> | undefined;
  let failure: { atMs: number; error: unknown } | undefined;
  let refreshDueMs = 0;
  let unknownKidFetchedAtMs = -Infinity;

  const fetchKeys = async (headers: Readonly<Record<string, string>>): Promise<void> => {
    const startMs = performance.now();
    try {
      const keys = await fetchSigningKeys(network, url, headers);
      current = { keys: keepUnchanged(keys, current), fetchedAtMs: clock() };
      refreshDueMs = current.fetchedAtMs + refreshAfterMs;
      failure = undefined;
      observer.keysFetched?.({ url, outcome: 'ok', durationMs: performance.now() - startMs });
    } catch (error) {
      failure = { atMs: clock(), error };
      refreshDueMs = failure.atMs + retryRefreshMs;
      const outcome = error instanceof KeySetError ? 'refused' : 'unavailable';
      observer.keysFetched?.({ url, outcome, durationMs: performance.now() - startMs, error });
    }
  };

  /** Single flight; settles without error, the outcome being in `current` and `failure`. */
  const refresh = (headers: Readonly<Record<string, string>> = {}): Promise<void> => {
    inFlight ??= fetchKeys(headers).finally(() => {
      inFlight = undefined;
    });
    return inFlight;
  };

  const isWithin = (ageMs: number): boolean => current !== undefined && clock() < current.fetchedAtMs + ageMs;

  const unavailable = (): IdentityUnavailableError =>
    new IdentityUnavailableError({
      retryAfterSeconds: spreadRetryAfter(),
      cause: failure?.error,
      logFields: { keys: url },
    });

  const ensureKeys = async (headers?: Readonly<Record<string, string>>): Promise<void> => {
    if (isWithin(maxAgeMs)) {
      if (clock() >= refreshDueMs) void refresh(headers);
      return;
    }
    const pauseMs = isWithin(maxAgeMs + lastKnownGoodMs) ? retryRefreshMs : coldRetryMs;
    if (failure === undefined || clock() >= failure.atMs + pauseMs) await refresh(headers);
    if (!isWithin(maxAgeMs + lastKnownGoodMs)) throw unavailable();
  };

  return {
    peek(kid, nowMs) {
      return nowMs < refreshDueMs ? current?.keys.get(kid) : undefined;
    },
    async find(kid, headers) {
      const before = current;
      await ensureKeys(headers);
      const known = current?.keys.get(kid);
      if (known || current !== before) return known;
      if (inFlight) await inFlight;
      else if (clock() >= unknownKidFetchedAtMs + unknownKidIntervalMs) {
        unknownKidFetchedAtMs = clock();
        await refresh(headers);
      }
      const found = current?.keys.get(kid);
      // The name may be that of a new key: without the issuer's answer the token is neither good nor bad.
      if (!found && failure) throw unavailable();
      return found;
    },
    trusts(key, nowMs) {
      if (current === undefined || current.keys.get(key.kid) !== key) return false;
      if (nowMs >= refreshDueMs) void refresh();
      return nowMs < current.fetchedAtMs + maxAgeMs + lastKnownGoodMs;
    },
    async ready() {
      await ensureKeys();
    },
    ageMs: () => current && clock() - current.fetchedAtMs,
  };
};
