import type { Logger } from '@countersign/service-kit';
import { createClient } from 'redis';

/**
 * Connects to Valkey or Redis, now and whenever the connection is lost. Commands fail at once while there is none, so
 * that a request never waits for the store.
 */
export const openRateLimitStore = (url: string, logger: Logger) => {
  const client = createClient({
    url,
    disableOfflineQueue: true,
    commandsQueueMaxLength: 10_000,
    socket: { connectTimeout: 2_000, reconnectStrategy: (retries) => Math.min(100 * 2 ** retries, 5_000) },
  });
  let connected = true;
  client.on('error', (error: unknown) => {
    if (connected) logger.warn({ err: error }, 'no connection to the rate limit store');
    connected = false;
  });
  client.on('ready', () => {
    connected = true;
  });
  client.connect().catch(() => undefined);
  return client;
};
