import { createClient } from 'redis';
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

/**
 * Makes a store on Redis or Valkey. It connects in the background, and while there is no connection its calls fail at
 * once, which the shared cache takes as it should.
 */
export const createRedisTokenStore = ({
  url,
  password,
  ca,
  connectTimeoutMs = 2000,
}: RedisTokenStoreOptions): RedisTokenStore => {
  const isTls = new URL(url).protocol === 'rediss:';
  const client = createClient({
    url,
    ...(password !== undefined && { password }),
    // Otherwise commands wait for the connection to come back.
    disableOfflineQueue: true,
    socket: {
      connectTimeout: connectTimeoutMs,
      reconnectStrategy: () => reconnectMs,
      ...(isTls && { tls: true as const, ...(ca !== undefined && { ca }) }),
    },
  });
  // Each failed attempt to connect is told here; what matters is the failed call, which the shared cache reports.
  client.on('error', () => {});
  const connected = client.connect().catch(() => {});
  return {
    async get(key) {
      await connected;
      return client.get(key);
    },
    async set(key, value, ttlSeconds) {
      await connected;
      await client.set(key, value, { expiration: { type: 'EX', value: ttlSeconds } });
    },
    close() {
      client.destroy();
    },
  };
};
