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
