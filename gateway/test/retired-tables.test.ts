import { once } from 'node:events';
import { createServer } from 'node:http';
import { createLogger } from '@countersign/service-kit';
import { afterEach, expect, test } from '@jest/globals';
import { openLiveTable } from '../src/proxy/live-table.ts';
import { createHttp1Transport } from '../src/transport/http1-transport.ts';
import { openConfigMap } from './config-map.ts';
import { runGateway } from './gateway-process.ts';
import { listenOn, stopAll, whenTrue } from './start-gateway.ts';

afterEach(stopAll);

const tableOf = (upstream: object): string =>
  JSON.stringify({ upstreams: { u: upstream }, routes: [{ path: '/', upstream: 'u', access: 'public' }] });

test('a table that was replaced checks no address and asks for no name any more', async () => {
  const checks = { old: 0, new: 0 };
  const start = (table: keyof typeof checks): Promise<string> =>
    listenOn(
      createServer((_request, response) => {
        checks[table] += 1;
        response.end();
      }),
    );
  const origins = new Map([
    ['http://10.0.0.1:80', await start('old')],
    ['http://10.0.0.2:80', await start('new')],
  ]);
  const names = { old: 0, new: 0 };
  const tableFor = (host: keyof typeof names): string =>
    tableOf({
      addresses: [`http://${host}`],
      resolveMs: 1,
      healthCheck: { path: '/healthz', intervalMs: 1 },
    });
  const { file, put } = openConfigMap(tableFor('old'));
  const reloaded = Promise.withResolvers<string>();
  await using live = await openLiveTable({
    file,
    surroundings: { locations: new Map(), apis: new Set() },
    logger: createLogger({ name: 'gateway', version: '0', destination: { write: () => undefined } }),
    rateLimits: {},
    upstreams: {
      createTransport: (origin, options) => createHttp1Transport(origins.get(origin) ?? '', options),
      resolve: async (host) => {
        names[host as keyof typeof names] += 1;
        return [host === 'old' ? '10.0.0.1' : '10.0.0.2'];
      },
      report: () => undefined,
    },
    onReload: reloaded.resolve,
  }).then((table) => ({ ...table, [Symbol.asyncDispose]: () => table.close() }));
  await whenTrue(() => checks.old > 3 && names.old > 3);
  put(tableFor('new'));
  expect(await reloaded.promise).toBe('ok');
  expect(live.current().upstreams.get('u')?.settings.addresses).toEqual(['http://new']);

  // A check that was on its way may still arrive. Whatever went on would do so as often as the new table does.
  await whenTrue(() => checks.new > 3);
  const before = { checks: checks.old, names: names.old };
  await whenTrue(() => checks.new > 50 && names.new > 50);
  expect({ checks: checks.old, names: names.old }).toEqual(before);
});

test.each(['http1', 'undici'])(
  'connections of a table that was replaced are closed: idle ones at once, others after their answer, over %s',
  async (transport) => {
    const holds = Promise.withResolvers<() => void>();
    const closed: Promise<unknown>[] = [];
    const server = createServer({ keepAliveTimeout: 600_000 }, (request, response) => {
      if (request.url === '/held') holds.resolve(() => response.end('held'));
      else response.setHeader('Keep-Alive', 'timeout=600').end('ok');
    });
    server.on('connection', (socket) => closed.push(once(socket, 'close')));
    const addresses = [await listenOn(server)];
    const { file, put } = openConfigMap(tableOf({ addresses }));
    await using gateway = runGateway('', { ROUTES_FILE: file, TRANSPORT: transport });
    const url = await gateway.url();
    const held = fetch(`${url}/held`);
    const answer = await holds.promise;
    expect(await (await fetch(url)).text()).toBe('ok');
    expect(closed).toHaveLength(2);

    put(tableOf({ addresses, failures: 1 }));
    await gateway.logged('the route table was reloaded');
    const reloadedMs = performance.now();
    await closed[1];
    answer();
    expect(await (await held).text()).toBe('held');
    await closed[0];
    // An idle connection that nobody closes is kept for a minute.
    expect(performance.now() - reloadedMs).toBeLessThan(30_000);
    expect(await (await fetch(url)).text()).toBe('ok');
    expect(closed).toHaveLength(3);
  },
);
