import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import {
  createRedisTokenStore,
  createSharedTokenCache,
  createTokenSource,
  type EntraNetwork,
  type RedisTokenStore,
  type TokenSource,
} from '@countersign/shared-auth';
import { GenericContainer, type StartedTestContainer } from 'testcontainers';

jest.setTimeout(120_000);

const scope = 'api://records/.default';
const keys = [{ id: 'k1', key: randomBytes(32) }];

let container: StartedTestContainer;
let store: RedisTokenStore;
let requests = 0;
const events: boolean[] = [];

/** An Entra that always grants, and counts. */
const network: EntraNetwork = {
  request: async () => {
    requests += 1;
    const body = JSON.stringify({
      token_type: 'Bearer',
      expires_in: 3599,
      access_token: `token-${requests}`,
    });
    return { status: 200, headers: {}, body };
  },
  close: () => {},
};

const createProcess = (through: RedisTokenStore = store): TokenSource =>
  createTokenSource({
    authorityHost: 'https://login.microsoftonline.com',
    tenantId: '11111111-1111-4111-8111-111111111111',
    clientId: '33333333-3333-4333-8333-333333333333',
    credential: { clientSecret: 'secret' },
    network,
    sharedCache: createSharedTokenCache({
      store: through,
      keys,
      observer: { sharedCacheChanged: ({ isWorking }) => events.push(isWorking) },
    }),
  });

beforeAll(async () => {
  container = await new GenericContainer('valkey/valkey:8-trixie')
    .withCommand(['valkey-server', '--requirepass', 'password'])
    .withExposedPorts(6379)
    .start();
  const url = `redis://${container.getHost()}:${container.getMappedPort(6379)}`;
  store = createRedisTokenStore({ url, password: 'password' });
});

afterAll(async () => {
  store?.close();
  await container?.stop();
});

const cli = async (...command: string[]): Promise<string> => {
  const { output } = await container.exec(['valkey-cli', '--no-auth-warning', '-a', 'password', ...command]);
  return output.trim();
};

test('a second process gets the token of the first without asking Entra', async () => {
  const first = await createProcess().getToken({ scope });
  const second = await createProcess().getToken({ scope });
  expect(second).toMatchObject({ accessToken: first.accessToken, fromCache: true });
  expect(requests).toBe(1);
});

test('what is stored is encrypted and ends with the token', async () => {
  const key = await cli('KEYS', 'countersign:token:*');
  expect(key).toMatch(/^countersign:token:11111111-[^:]+:33333333-[^:]+:[\w-]{43}$/);
  const value = await cli('GET', key);
  expect(value).toMatch(/^v1\.k1\.[\w-]+$/);
  expect(value).not.toContain('token-1');
  const ttlSeconds = Number(await cli('TTL', key));
  expect(ttlSeconds).toBeGreaterThan(3000);
  expect(ttlSeconds).toBeLessThanOrEqual(3600);
});

test('a server that goes away fails no call, and is told once', async () => {
  const process = createProcess();
  await process.getToken({ scope });
  await container.stop();
  const before = requests;
  await expect(process.getToken({ scope })).resolves.toMatchObject({ fromCache: true });
  await expect(process.getToken({ scope: 'api://other/.default' })).resolves.toMatchObject({
    fromCache: false,
  });
  await expect(process.getToken({ scope: 'api://third/.default' })).resolves.toMatchObject({
    fromCache: false,
  });
  expect(requests).toBe(before + 2);
  expect(events).toEqual([false]);
});

test('a server that never was is no obstacle', async () => {
  const nowhere = createRedisTokenStore({ url: 'redis://127.0.0.1:1' });
  await expect(createProcess(nowhere).getToken({ scope })).resolves.toMatchObject({ fromCache: false });
  nowhere.close();
});
