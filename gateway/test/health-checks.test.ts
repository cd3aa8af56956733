import { afterEach, expect, test } from '@jest/globals';
import { createHttp1Transport } from '../src/transport/http1-transport.ts';
import { small, startScripted } from './scripted-server.ts';
import { startGateway, stopAll, whenTrue } from './start-gateway.ts';
import { ManualClock } from './transport/recording-sink.ts';

afterEach(stopAll);

const timeoutMs = 2_000;

test('a check that is not answered within timeoutMs has failed, twice in a row leave the address out', async () => {
  const clock = new ManualClock();
  let silent = true;
  await using upstream = await startScripted((socket, head) => {
    if (!silent || !head.startsWith('GET /healthz ')) socket.write(small);
  });
  const { url, table, events } = await startGateway({
    createTransport: (origin, options) => createHttp1Transport(origin, { ...options, clock }),
    table: {
      upstreams: {
        u: { addresses: [upstream.origin], healthCheck: { path: '/healthz', intervalMs: 1, timeoutMs } },
      },
      routes: [{ path: '/', upstream: 'u', access: 'public' }],
    },
  });
  const state = () => table.upstreams.get('u')?.state().endpoints[0];
  const checks = (): number => upstream.heads.filter((head) => head.startsWith('GET /healthz ')).length;

  await whenTrue(() => checks() === 1);
  clock.advance(timeoutMs);
  expect(state()).toMatchObject({ state: 'available', openConnections: 1 });
  clock.advance(1);
  // It was given up, with its connection.
  expect(state()).toMatchObject({ state: 'available', openConnections: 0 });

  await whenTrue(() => checks() === 2);
  clock.advance(timeoutMs + 1);
  expect(state()).toMatchObject({ state: 'unhealthy', lastFailure: 'health_check' });
  // There is no other.
  expect((await fetch(url)).status).toBe(200);

  await whenTrue(() => checks() === 3);
  silent = false;
  clock.advance(timeoutMs + 1);
  await whenTrue(() => events.length === 2);
  expect(events).toMatchObject([{ state: { state: 'unhealthy' } }, { state: { state: 'available' } }]);
});
