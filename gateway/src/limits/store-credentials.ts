import { readFile } from 'node:fs/promises';
import type { Logger } from '@countersign/service-kit';
import { createEntraNetwork, createTokenSource } from '@countersign/shared-auth';
import type { createClient } from 'redis';
import type { Config } from '../config.ts';

/** Asked for each connection. */
type CredentialsProvider = NonNullable<
  NonNullable<Parameters<typeof createClient>[0]>['credentialsProvider']
>;

/** How often a token is looked at. It is renewed five minutes and more before it ends. */
const lookMs = 60_000;

/** The password that a file holds by then, so that it can be rotated. */
export const passwordCredentials = (username: string, file: string): CredentialsProvider => ({
  type: 'async-credentials-provider',
  credentials: async () => ({
    ...(username !== '' && { username }),
    password: (await readFile(file, 'utf8')).trim(),
  }),
});

/**
 * Tokens in place of a password. A store ends connections with the token that they began with, unless they show the next
 * one before (Azure Managed Redis), which is done here as soon as `takeToken` gives another.
 *
 * @param intervalMs how often that is asked, in milliseconds
 */
export const tokenCredentials = (
  username: string,
  takeToken: () => Promise<string>,
  logger: Logger,
  intervalMs = lookMs,
): CredentialsProvider => {
  let timer: NodeJS.Timeout | undefined;
  return {
    type: 'streaming-credentials-provider',
    async subscribe({ onNext }) {
      let shown = await takeToken();
      // The client does not end the subscription of a connection that it lost.
      clearInterval(timer);
      const look = async (): Promise<void> => {
        const token = await takeToken();
        if (token !== shown) onNext({ username, password: (shown = token) });
      };
      // Entra being away is no reason to end a connection that works.
      timer = setInterval(() => void look().catch(() => undefined), intervalMs).unref();
      return [{ username, password: shown }, { dispose: () => clearInterval(timer) }];
    },
    onReAuthenticationError: (error) =>
      logger.warn({ err: error }, 'the rate limit store does not take a new token'),
  };
};

/** How the configuration has the gateway prove itself to the store, as the user that the store's URL names. */
export const storeCredentials = (config: Config, logger: Logger): CredentialsProvider | undefined => {
  const { username } = new URL(config.RATE_LIMIT_STORE_URL ?? 'redis:');
  const user = decodeURIComponent(username);
  const { RATE_LIMIT_STORE_PASSWORD_FILE: file, RATE_LIMIT_STORE_TOKEN_SCOPE: scope, CA_FILE: ca } = config;
  if (file !== undefined) return passwordCredentials(user, file);
  if (scope === undefined) return undefined;
  // The configuration was refused if it had the scope without these.
  const tokens = createTokenSource({
    authorityHost: config.AZURE_AUTHORITY_HOST as URL,
    tenantId: config.AZURE_TENANT_ID as string,
    clientId: config.AZURE_CLIENT_ID as string,
    credential: { federatedTokenFile: config.AZURE_FEDERATED_TOKEN_FILE as string },
    network: createEntraNetwork(ca === undefined ? {} : { ca }),
  });
  return tokenCredentials(user, async () => (await tokens.getToken({ scope })).accessToken, logger);
};
