import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { createLogger } from '@countersign/service-kit';
import { GenericContainer, type StartedTestContainer } from 'testcontainers';
import { createRateLimit } from '../../gateway/src/limits/rate-limit.ts';
import { openRateLimitStore } from '../../gateway/src/limits/rate-limit-store.ts';
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
  now = 1_000;
  await count('another stalled caller');
  expect(changes).toEqual([false, true]);
  store.destroy();
  way.close();
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
