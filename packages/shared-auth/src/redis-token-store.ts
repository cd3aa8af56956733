import type { createClient } from 'redis';
import { assertNumbers } from './assert-number.ts';
import type { TokenStore } from './shared-token-cache.ts';

export interface RedisTokenStoreOptions {
  /** `redis://` or, with TLS, `rediss://`; also of Valkey or Azure Managed Redis. */
  url: string;
  /** Instead of one in the address. */
  password?: string;
  /** PEM certificates to trust for `rediss://`, in place of Node's. */
  ca?: string;
  /** Bound on connecting, in milliseconds. Default 2,000. */
  connectTimeoutMs?: number;
}

/** Tokens in Redis or Valkey. */
export interface RedisTokenStore extends TokenStore {
  close(): void;
}

/** A server that is away is asked for again after this long, for as long as it takes. */
const reconnectMs = 1000;

type RedisClient = ReturnType<typeof createClient>;

/** Loads the client when there is a store to reach: most who use this library have none. */
const connect = async ({
  url,
  password,
  ca,
  connectTimeoutMs = 2000,
}: RedisTokenStoreOptions): Promise<RedisClient> => {
  const redis = await import('redis');
  const isTls = new URL(url).protocol === 'rediss:';
  const client = redis.createClient({
    url,
    ...(password !== undefined && { password }),
    // Otherwise commands wait for the connection to come back.
    disableOfflineQueue: true,
    socket: {
      connectTimeout: connectTimeoutMs,
      reconnectStrategy: () => reconnectMs,
      ...(isTls && { tls: true as const, ...(ca !== undefined && { ca }) }),
    },
  }) as RedisClient;
  // Each failed attempt to connect is told here; what matters is the failed call, which the shared cache reports.
  const firstOutcome = new Promise((resolve) => {
    client.once('ready', resolve).on('error', resolve);
  });
  client.connect().catch(() => {});
  await firstOutcome;
  return client;
};

/**
 * Makes a store on Redis or Valkey. It connects in the background, and while there is no connection its calls fail,
 * which the shared cache takes as it should.
 */
export const createRedisTokenStore = (options: RedisTokenStoreOptions): RedisTokenStore => {
  assertNumbers({ ...options }, { connectTimeoutMs: [1, 600_000] });
  const connecting = connect(options);
  // Told to whoever calls.
  connecting.catch(() => {});
  return {
    async get(key) {
      return (await connecting).get(key);
    },
    async set(key, value, ttlSeconds) {
      await (await connecting).set(key, value, { expiration: { type: 'EX', value: ttlSeconds } });
    },
    close() {
      connecting.then((client) => client.destroy()).catch(() => {});
    },
  };
};
