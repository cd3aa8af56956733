import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { createLogger } from '@countersign/service-kit';
import { GenericContainer, type StartedTestContainer } from 'testcontainers';
import { createRateLimit } from '../../gateway/src/limits/rate-limit.ts';
import { openRateLimitStore } from '../../gateway/src/limits/rate-limit-store.ts';
import { passwordCredentials, tokenCredentials } from '../../gateway/src/limits/store-credentials.ts';
import { parseRouteTable } from '../../gateway/src/routes/route-table.ts';

jest.setTimeout(120_000);

let container: StartedTestContainer;
let url = '';
beforeAll(async () => {
  container = await new GenericContainer('valkey/valkey:8-trixie').withExposedPorts(6379).start();
  url = `redis://${container.getHost()}:${container.getMappedPort(6379)}`;
});
afterAll(() => container?.stop());

const logger = createLogger({ name: 'gateway', version: '0', destination: { write: () => undefined } });
const [route] = parseRouteTable(
  JSON.stringify({
    upstreams: { u: { addresses: ['http://127.0.0.1:9'] } },
    routes: [{ path: '/a', upstream: 'u', access: 'public', rateLimit: { requests: 3, perSeconds: 600 } }],
  }),
  { locations: new Map(), apis: new Set() },
).routes;
if (!route) throw new Error('no route');

/** A way to the store on which nothing moves while it is stalled. */
const openStallableWay = async () => {
  const { hostname, port } = new URL(url);
  const sockets = new Set<Socket>();
  const ends: [Socket, Socket][] = [];
  let stalled = false;
  const open = ([one, other]: [Socket, Socket]): void => {
    one.pipe(other);
    other.pipe(one);
  };
  const server = createServer((socket) => {
    const pair: [Socket, Socket] = [socket, connect(Number(port), hostname)];
    for (const end of pair) sockets.add(end.on('error', () => undefined));
    ends.push(pair);
    if (!stalled) open(pair);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `redis://127.0.0.1:${(server.address() as AddressInfo).port}`,
    stall() {
      stalled = true;
      for (const socket of sockets) socket.unpipe().pause();
    },
    goOn() {
      stalled = false;
      for (const pair of ends) open(pair);
    },
    close() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
};

test('a store that stalls is not waited for, and counts again once it answers', async () => {
  const way = await openStallableWay();
  const store = openRateLimitStore(way.url, logger);
  if (!store.isReady) await once(store, 'ready');
  const changes: boolean[] = [];
  let now = 0;
  const count = createRateLimit(route, {
    redis: store,
    onStoreChange: (working) => changes.push(working),
    now: () => now,
  });
  await count('stalled caller');
  way.stall();
  const startMs = performance.now();
  const [, left] = await Promise.all([count('stalled caller'), count('stalled caller')]);
  expect(left?.at(-1)).toMatch(/r=1;/);
  await count('stalled caller');
  await expect(count('stalled caller')).rejects.toMatchObject({ status: 429 });
  expect(performance.now() - startMs).toBeLessThan(1_000);
  expect(changes).toEqual([false]);
  way.goOn();
  // On a busy machine it may be late once more, and is asked again after the pause.
  while (changes.length < 2) await count(`stalled caller at ${(now += 1_000)}`);
  expect(changes).toEqual([false, true]);
  store.destroy();
  way.close();
});

describe('a store that asks who it is', () => {
  const user = '77777777-7777-4777-8777-777777777777';
  const ofUser = (): string => url.replace('://', `://${user}@`);
  /** Whatever errors come before. */
  const readyAgain = (store: ReturnType<typeof openRateLimitStore>): Promise<void> =>
    new Promise((resolve) => store.once('ready', resolve));
  const asAdministrator = async (...command: string[]): Promise<string> =>
    (await container.exec(['valkey-cli', ...command])).output;
  const allow = (...passwords: string[]): Promise<string> =>
    asAdministrator('ACL', 'SETUSER', user, 'reset', 'on', '~*', '+@all', ...passwords.map((p) => `>${p}`));

  test('is told the password that the file holds when the connection is made', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'store-'));
    const file = join(folder, 'password');
    await allow('first');
    await writeFile(file, 'first\n');
    const store = openRateLimitStore(ofUser(), logger, passwordCredentials(user, file));
    if (!store.isReady) await once(store, 'ready');
    expect(await store.sendCommand(['ACL', 'WHOAMI'])).toBe(user);

    await allow('second');
    await writeFile(file, 'second\n');
    const again = readyAgain(store);
    await asAdministrator('CLIENT', 'KILL', 'USER', user);
    await again;
    expect(await store.sendCommand(['ACL', 'WHOAMI'])).toBe(user);
    store.destroy();
    await rm(folder, { recursive: true });
  });

  test('is shown the next token on the same connection, before the first has ended', async () => {
    await allow('token-1', 'token-2');
    const asked: string[] = [];
    let token = 'token-1';
    const takeToken = async (): Promise<string> => {
      asked.push(token);
      return token;
    };
    const store = openRateLimitStore(ofUser(), logger, tokenCredentials(user, takeToken, logger, 20));
    if (!store.isReady) await once(store, 'ready');
    const authentications = async (): Promise<number> =>
      Number(/cmdstat_auth:calls=(\d+)/.exec(await asAdministrator('INFO', 'commandstats'))?.[1] ?? 0);
    const before = await authentications();
    const connection = await store.sendCommand(['CLIENT', 'ID']);
    token = 'token-2';
    while ((await authentications()) === before);
    // Shown once, however often it is looked at.
    const looks = asked.length;
    while (asked.length < looks + 3) await store.ping();
    expect(await authentications()).toBe(before + 1);
    expect(await store.sendCommand(['CLIENT', 'ID'])).toBe(connection);

    token = 'token-3';
    await allow('token-3');
    const again = readyAgain(store);
    await asAdministrator('CLIENT', 'KILL', 'USER', user);
    await again;
    expect(await store.sendCommand(['ACL', 'WHOAMI'])).toBe(user);
    store.destroy();
  });

  test('is asked again and again while there is no token', async () => {
    let fails = true;
    const takeToken = async (): Promise<string> => {
      if (fails) throw new Error('Entra cannot be reached');
      return 'token-4';
    };
    await allow('token-4');
    const store = openRateLimitStore(ofUser(), logger, tokenCredentials(user, takeToken, logger));
    await once(store, 'error');
    fails = false;
    await readyAgain(store);
    expect(await store.ping()).toBe('PONG');
    store.destroy();
  });
});

test('replicas count together, and each for itself while the store is gone', async () => {
  const changes: boolean[] = [];
  const stores = [openRateLimitStore(url, logger), openRateLimitStore(url, logger)];
  for (const store of stores)
    if (!store.isReady) await new Promise((resolve) => store.once('ready', resolve));
  const [one, other] = stores.map((redis) =>
    createRateLimit(route, { redis, onStoreChange: (working) => changes.push(working) }),
  );
  if (!one || !other) throw new Error('no replicas');
  await one('caller');
  await other('caller');
  await one('caller');
  await expect(other('caller')).rejects.toMatchObject({ status: 429, code: 'rate_limited' });
  await other('another caller');

  const gone = stores.map((store) => new Promise((resolve) => store.once('reconnecting', resolve)));
  await container.stop();
  await Promise.all(gone);
  await one('caller');
  await one('caller');
  await one('caller');
  await expect(one('caller')).rejects.toMatchObject({ status: 429 });
  expect(changes).toEqual([false]);
  for (const store of stores) store.destroy();
});
