import type { Logger } from '@countersign/service-kit';
import { createClient } from 'redis';

type Options = NonNullable<Parameters<typeof createClient>[0]>;

/**
 * Connects to Valkey or Redis, now and whenever the connection is lost. Commands fail at once while there is none; one
 * on which nothing is heard for five seconds is given up. How long a command may take is for whoever sends it to say.
 *
 * @param credentials in place of user and password of the URL
 */
export const openRateLimitStore = (
  url: string,
  logger: Logger,
  credentials?: Options['credentialsProvider'],
) => {
  const client = createClient({
    // The client would take a user that the URL names for all that there is to say.
    ...(credentials ? { url: url.replace(/\/\/[^@/]*@/, '//'), credentialsProvider: credentials } : { url }),
    disableOfflineQueue: true,
    commandsQueueMaxLength: 10_000,
    pingInterval: 2_000,
    socket: {
      connectTimeout: 2_000,
      socketTimeout: 5_000,
      reconnectStrategy: (retries) => Math.min(100 * 2 ** retries, 5_000),
    },
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
