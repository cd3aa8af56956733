import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import { createLogger, parseConfig } from '@countersign/service-kit';
import { startTestIssuer, tenantId } from '../../packages/shared-auth/test/test-issuer.ts';
import { configSchema } from '../src/config.ts';
import { storeCredentials } from '../src/limits/store-credentials.ts';

const folder = mkdtempSync(join(tmpdir(), 'store-settings-'));
const file = join(folder, 'secret');
writeFileSync(file, 'secret');
afterAll(() => rmSync(folder, { recursive: true }));

const byToken = {
  RATE_LIMIT_STORE_URL: 'rediss://77777777-7777-4777-8777-777777777777@cache.example:10000',
  RATE_LIMIT_STORE_TOKEN_SCOPE: 'https://redis.azure.com/.default',
  AZURE_AUTHORITY_HOST: 'https://login.microsoftonline.com/',
  AZURE_TENANT_ID: '11111111-1111-4111-8111-111111111111',
  AZURE_CLIENT_ID: '22222222-2222-4222-8222-222222222222',
  AZURE_FEDERATED_TOKEN_FILE: file,
};

test('the store is opened with a token, with the password of a file, or with what its URL says', () => {
  for (const settings of [
    byToken,
    { RATE_LIMIT_STORE_URL: 'rediss://cache.example', RATE_LIMIT_STORE_PASSWORD_FILE: file },
    { RATE_LIMIT_STORE_URL: 'redis://user:password@cache.example' },
  ])
    expect(parseConfig(configSchema, settings)).toMatchObject({ RATE_LIMIT_STORE_URL: expect.any(String) });
});

test.each<[string, Record<string, string | undefined>, string]>([
  ['no URL', { RATE_LIMIT_STORE_URL: undefined }, 'is needed where its password or token is set'],
  ['nobody', { RATE_LIMIT_STORE_URL: 'rediss://cache.example' }, 'has to name the user whose token it is'],
  ['a password too', { RATE_LIMIT_STORE_URL: 'rediss://u:p@cache.example' }, 'has more than one password'],
  ['a file too', { RATE_LIMIT_STORE_PASSWORD_FILE: file }, 'has more than one password'],
  [
    'no application',
    { AZURE_CLIENT_ID: undefined, AZURE_FEDERATED_TOKEN_FILE: undefined },
    'needs AZURE_CLIENT_ID, AZURE_FEDERATED_TOKEN_FILE for its token',
  ],
])('a token for the store with %s is refused', (_, settings, problem) => {
  expect(() => parseConfig(configSchema, { ...byToken, ...settings })).toThrow(
    `RATE_LIMIT_STORE_URL ${problem}`,
  );
});

test('the token is asked for with the assertion of the file, in the name of the user of the URL', async () => {
  const issuer = await startTestIssuer();
  issuer.tokenReply = () => ({
    body: JSON.stringify({ token_type: 'Bearer', expires_in: 3599, access_token: 'the-token' }),
  });
  try {
    writeFileSync(join(folder, 'ca.pem'), issuer.ca);
    const config = parseConfig(configSchema, {
      ...byToken,
      AZURE_AUTHORITY_HOST: issuer.origin,
      AZURE_TENANT_ID: tenantId,
      CA_FILE: join(folder, 'ca.pem'),
    });
    const logger = createLogger({ name: 'gateway', version: '0', destination: { write: () => undefined } });
    const credentials = storeCredentials(config, logger);
    if (credentials?.type !== 'streaming-credentials-provider') throw new Error('there is no token');
    const [first, subscription] = await credentials.subscribe({
      onNext: () => undefined,
      onError: () => undefined,
    });
    subscription.dispose();
    expect(first).toEqual({ username: '77777777-7777-4777-8777-777777777777', password: 'the-token' });
    const [request] = issuer.tokenRequests;
    expect(request?.form.get('client_assertion')).toBe('secret');
    expect(request?.form.get('client_id')).toBe(byToken.AZURE_CLIENT_ID);
    expect(request?.form.get('scope')).toContain('https://redis.azure.com/.default');
  } finally {
    await issuer.close();
  }
});
