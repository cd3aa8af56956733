import { createHash } from 'node:crypto';
import type { ICachePlugin } from '@azure/msal-node';
import { assertNumbers } from './assert-number.ts';
import type { AuthObserver } from './observer.ts';
import { isOver } from './pause.ts';
import { createTokenCipher, type CacheKey } from './token-cipher.ts';

/** A key-value store that several processes share. It may fail or be slow at any time. */
export interface TokenStore {
  get(key: string): Promise<string | null>;
  /** @param ttlSeconds - after which the store forgets the value */
  set(key: string, value: string, ttlSeconds: number): Promise<void>;
}

export interface SharedTokenCacheOptions {
  store: TokenStore;
  /** AES-256 keys. The first one encrypts, all decrypt: put a new key in front, and take the old one out later. */
  keys: readonly CacheKey[];
  /** Bound on one access to the store, in milliseconds. Default 500. */
  timeoutMs?: number;
  observer?: AuthObserver;
  /** Milliseconds since 1970. Default `Date.now`. */
  clock?: () => number;
}

/** Whose token, for what. */
export interface TokenPartition {
  origin: string;
  tenantId: string;
  clientId: string;
  scope: string;
}

export interface SharedTokenCacheStats {
  hits: number;
  misses: number;
  failures: number;
  isWorking: boolean;
}

/** Tokens that several processes of an application share, encrypted, so that a new process need not ask Entra. */
export interface SharedTokenCache {
  pluginFor(partition: TokenPartition): Promise<ICachePlugin>;
  stats(): SharedTokenCacheStats;
}

/** After a failure the store is left alone for this long. */
const pauseMs = 5000;

const partitionKey = ({ origin, tenantId, clientId, scope }: TokenPartition): string => {
  const resource = createHash('sha256').update(`${origin} ${scope}`).digest('base64url');
  return `countersign:token:${tenantId}:${clientId}:${resource}`;
};

interface SerializedCache {
  AccessToken?: Record<string, { expires_on?: string }>;
}

/** Seconds until the last token of MSAL's serialized memory ends. */
const lifeSeconds = (serialized: string, nowMs: number): number => {
  const { AccessToken = {} } = JSON.parse(serialized) as SerializedCache;
  const ends = Object.values(AccessToken).map(({ expires_on: end }) => Number(end ?? 0));
  return Math.max(0, Math.floor(Math.max(0, ...ends) - nowMs / 1000));
};

const withTimeout = async <T>(work: Promise<T>, timeoutMs: number): Promise<T> => {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer in ${timeoutMs} ms`)), timeoutMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
};

/**
 * Makes a second level behind MSAL's memory, through MSAL's distributed cache plugin: one partition for each tenant,
 * client and resource, AES-256-GCM. A store that is down costs nothing but the sharing: no call fails for it.
 */
export const createSharedTokenCache = ({
  store,
  keys,
  timeoutMs = 500,
  observer = {},
  clock = Date.now,
}: SharedTokenCacheOptions): SharedTokenCache => {
  assertNumbers({ timeoutMs }, { timeoutMs: [1, 60_000] });
  const cipher = createTokenCipher(keys);
  const counts = { hits: 0, misses: 0, failures: 0 };
  let isWorking = true;
  let failedAtMs = -Infinity;

  /** The result, or undefined when the store fails or has failed a moment ago. */
  const attempt = async <T>(work: () => Promise<T>): Promise<T | undefined> => {
    if (!isOver(failedAtMs, pauseMs, clock())) return undefined;
    try {
      const result = await withTimeout(work(), timeoutMs);
      if (!isWorking) observer.sharedCacheChanged?.({ isWorking: true });
      isWorking = true;
      return result;
    } catch (error) {
      counts.failures += 1;
      failedAtMs = clock();
      if (isWorking) observer.sharedCacheChanged?.({ isWorking: false, error });
      isWorking = false;
      return undefined;
    }
  };

  const client = {
    async get(key: string): Promise<string> {
      const sealed = await attempt(() => store.get(key));
      const opened = typeof sealed === 'string' && sealed !== '' ? cipher.open(sealed, key) : undefined;
      counts[opened === undefined ? 'misses' : 'hits'] += 1;
      // MSAL takes an empty text for nothing.
      return opened ?? '';
    },
    async set(key: string, value: string): Promise<string> {
      const ttlSeconds = lifeSeconds(value, clock());
      if (ttlSeconds > 0) await attempt(() => store.set(key, cipher.seal(value, key), ttlSeconds));
      return value;
    },
  };

  return {
    async pluginFor(partition) {
      const { DistributedCachePlugin } = await import('@azure/msal-node');
      const key = partitionKey(partition);
      return new DistributedCachePlugin(client, {
        getKey: async () => key,
        extractKey: async () => key,
      });
    },
    stats: () => ({ ...counts, isWorking }),
  };
};
