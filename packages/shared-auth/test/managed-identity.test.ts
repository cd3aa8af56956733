/** A file of its own: MSAL keeps the first platform that it finds, with its network, for the life of the process. */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createEntraNetwork, createTokenSource } from '../src/index.ts';
import { apiClientId, callerClientId, tenantId } from './test-issuer.ts';

beforeAll(() => {
  process.env['IDENTITY_ENDPOINT'] = 'http://127.0.0.1:1/msi/token';
  process.env['IDENTITY_HEADER'] = 'header-secret';
});

afterAll(() => {
  delete process.env['IDENTITY_ENDPOINT'];
  delete process.env['IDENTITY_HEADER'];
});

test('a throttled platform is left alone for as long as it says', async () => {
  const scope = `api://${apiClientId}/.default`;
  let now = Date.now();
  let asked = 0;
  const source = createTokenSource({
    authorityHost: 'https://login.microsoftonline.com',
    tenantId,
    clientId: callerClientId,
    credential: { managedIdentity: {} },
    network: createEntraNetwork(),
    platformNetwork: {
      request: async () => {
        asked += 1;
        return { status: 429, headers: { 'retry-after': '40' }, body: '{}' };
      },
      close: () => {},
    },
    clock: () => now,
  });
  for (let second = 0; second < 40; second += 1) {
    await expect(source.getToken({ scope })).rejects.toMatchObject({ headers: { 'Retry-After': '40' } });
    now += 1000;
  }
  expect(asked).toBe(1);
  await expect(source.getToken({ scope })).rejects.toMatchObject({ status: 503 });
  expect(asked).toBe(2);
});
