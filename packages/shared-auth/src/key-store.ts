import { IdentityUnavailableError } from './errors.ts';
import { fetchSigningKeys, KeySetError, type SigningKey } from './jwks.ts';
import type { EntraNetwork } from './network.ts';
import type { AuthObserver } from './observer.ts';
import { isOver } from './pause.ts';
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
/** Unknown names cause at most one fetch in this time, so that a flood of them costs nothing; the others have to wait. */
const unknownKidIntervalMs = 5 * minutes;
/** After a failed fetch with keys at hand, the next attempt waits for this long. */
const retryRefreshMs = 1 * minutes;
/** After a failed fetch with none, callers are answered without another for this long. */
const coldRetryMs = 1000;

/** Names that are remembered as absent, so that what an attacker makes up does not pile up. */
const maxAbsentKids = 1000;

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

/** Names that were looked for and not found; the newest ones. */
const createAbsentKids = (): { add(kid: string): void; has(kid: string): boolean } => {
  const kids = new Set<string>();
  return {
    add(kid) {
      if (kids.size >= maxAbsentKids) for (const oldest of kids) if (kids.delete(oldest)) break;
      kids.add(kid);
    },
    has: (kid) => kids.has(kid),
  };
};

export const createKeyStore = ({ url, network, clock, observer }: KeyStoreOptions): KeyStore => {
  let current: KeySet | undefined;
  let inFlight: Promise<void> | undefined;
  let failure: { atMs: number; error: unknown } | undefined;
  let unknownKidFetchedAtMs = -Infinity;
  const absent = createAbsentKids();

  const replace = (fetched: readonly SigningKey[]): void => {
    const previous = current;
    current = { keys: keepUnchanged(fetched, previous), fetchedAtMs: clock() };
    failure = undefined;
    for (const kid of previous?.keys.keys() ?? []) if (!current.keys.has(kid)) absent.add(kid);
  };

  const fetchKeys = async (headers: Readonly<Record<string, string>>): Promise<void> => {
    const startMs = performance.now();
    try {
      replace(await fetchSigningKeys(network, url, headers));
      observer.keysFetched?.({ url, outcome: 'ok', durationMs: performance.now() - startMs });
    } catch (error) {
      failure = { atMs: clock(), error };
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

  const isRefreshDue = ({ fetchedAtMs }: KeySet, nowMs: number): boolean =>
    failure === undefined
      ? isOver(fetchedAtMs, refreshAfterMs, nowMs)
      : isOver(failure.atMs, retryRefreshMs, nowMs);

  /** A set serves for its time, and for another hour only where it could not be fetched again. */
  const isGood = ({ fetchedAtMs }: KeySet, nowMs: number): boolean =>
    nowMs < fetchedAtMs + maxAgeMs + (failure === undefined ? 0 : lastKnownGoodMs);

  const unavailable = (retryAfterSeconds = spreadRetryAfter()): IdentityUnavailableError =>
    new IdentityUnavailableError({ retryAfterSeconds, cause: failure?.error, logFields: { keys: url } });

  const ensureKeys = async (headers?: Readonly<Record<string, string>>): Promise<void> => {
    if (current !== undefined && clock() < current.fetchedAtMs + maxAgeMs) {
      if (isRefreshDue(current, clock())) void refresh(headers);
      return;
    }
    const pauseMs = current !== undefined && isGood(current, clock()) ? retryRefreshMs : coldRetryMs;
    if (failure === undefined || isOver(failure.atMs, pauseMs, clock())) await refresh(headers);
    if (current === undefined || !isGood(current, clock())) throw unavailable();
  };

  /** Looks whether a name is new, within the budget for that. */
  const lookUpUnknown = async (
    kid: string,
    headers: Readonly<Record<string, string>> | undefined,
  ): Promise<void> => {
    if (inFlight) await inFlight;
    else if (isOver(unknownKidFetchedAtMs, unknownKidIntervalMs, clock())) {
      unknownKidFetchedAtMs = clock();
      await refresh(headers);
    } else if (!absent.has(kid)) {
      // Somebody else's unknown name used up the fetch, and this one may be that of a key which is newer than the set.
      // To say that its token is bad would let anybody who makes names up turn away the callers after a rotation.
      const waitMs = unknownKidFetchedAtMs + unknownKidIntervalMs - clock();
      throw unavailable(Math.ceil(waitMs / 1000));
    }
  };

  return {
    peek(kid, nowMs) {
      return current === undefined || isRefreshDue(current, nowMs) ? undefined : current.keys.get(kid);
    },
    async find(kid, headers) {
      const before = current;
      await ensureKeys(headers);
      if (current === before && current?.keys.has(kid) !== true) await lookUpUnknown(kid, headers);
      const found = current?.keys.get(kid);
      if (found) return found;
      // The name may be that of a new key: without the issuer's answer the token is neither good nor bad.
      if (failure) throw unavailable();
      absent.add(kid);
      return undefined;
    },
    trusts(key, nowMs) {
      if (current === undefined || current.keys.get(key.kid) !== key) return false;
      if (isRefreshDue(current, nowMs)) void refresh();
      return isGood(current, nowMs);
    },
    async ready() {
      await ensureKeys();
    },
    ageMs: () => current && clock() - current.fetchedAtMs,
  };
};
