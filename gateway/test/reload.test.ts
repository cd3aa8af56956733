import { createServer } from 'node:http';
import { createLogger } from '@countersign/service-kit';
import { afterEach, expect, test } from '@jest/globals';
import { openLiveTable } from '../src/proxy/live-table.ts';
import { createHttp1Transport } from '../src/transport/http1-transport.ts';
import { openConfigMap } from './config-map.ts';
import { runGateway } from './gateway-process.ts';
import { listenOn, stopAll } from './start-gateway.ts';

afterEach(stopAll);

const tableWith = (path: string): string =>
  JSON.stringify({
    upstreams: { u: { addresses: ['http://127.0.0.1:9'] } },
    routes: [{ path, upstream: 'u', access: 'public' }],
  });

test('a swapped table takes effect; a broken one changes nothing and says why', async () => {
  const { file, put } = openConfigMap(tableWith('/first'));
  const records: Record<string, unknown>[] = [];
  let reloaded = (_outcome: string): void => {};
  const live = await openLiveTable({
    file,
    surroundings: { locations: new Map(), apis: new Set() },
    logger: createLogger({
      name: 'gateway',
      version: '0',
      destination: { write: (line) => records.push(JSON.parse(line) as Record<string, unknown>) },
    }),
    rateLimits: {},
    upstreams: { createTransport: createHttp1Transport, report: () => undefined },
    onReload: (outcome) => reloaded(outcome),
  });
  const after = (text: string): Promise<string> =>
    new Promise((resolve) => {
      reloaded = resolve;
      put(text);
    });
  expect(live.current().match('/first')).toBeDefined();

  expect(await after(tableWith('/second'))).toBe('ok');
  expect(live.current().match('/first')).toBeUndefined();
  expect(live.current().match('/second')).toBeDefined();

  expect(await after('routes:\n  - { path: /third }')).toBe('refused');
  expect(live.current().match('/second')).toBeDefined();
  expect(records.at(-1)).toMatchObject({
    level: 'error',
    problems: [expect.stringContaining('line 2'), expect.anything()],
  });

  expect(await after('routes: *typo')).toBe('refused');
  expect(live.current().match('/second')).toBeDefined();
  expect(records.at(-1)).toMatchObject({ problems: ['line 1: nothing before it is called &typo'] });

  for (let count = 0; count < 20; count += 1) expect(await after(tableWith(`/version-${count}`))).toBe('ok');
  expect(live.current().match('/version-19')).toBeDefined();
  await live.close();
});

test('what a reload leaves as it was goes on: connections, counts, ejections; what it changes begins anew', async () => {
  const ports: (number | undefined)[] = [];
  const server = createServer({ keepAliveTimeout: 60_000 }, (incoming, outgoing) => {
    ports.push(incoming.socket.remotePort);
    outgoing.end();
  });
  const origin = await listenOn(server);
  const nobody = 'http://127.0.0.1:9';
  const before = { retryBudget: 0.1, requests: 10, failures: 1 };
  const table = ({ retryBudget, requests, failures } = before, more: object[] = []): string =>
    JSON.stringify({
      upstreams: {
        there: { addresses: [origin], retryBudget },
        gone: { addresses: [nobody], failures, ejectMs: 600_000 },
      },
      routes: [
        { path: '/there', upstream: 'there', access: 'public', rateLimit: { requests, perSeconds: 86_400 } },
        { path: '/gone', upstream: 'gone', access: 'public', retries: 0 },
        ...more,
      ],
    });
  const { file, put } = openConfigMap(table());
  await using gateway = runGateway('', { ROUTES_FILE: file });
  const url = await gateway.url();
  const look = async () => {
    const there = await fetch(`${url}/there`);
    const gone = await fetch(`${url}/gone`);
    return { left: /r=(\d+)/.exec(there.headers.get('ratelimit') ?? '')?.[1], gone: gone.status };
  };
  let reloads = 0;
  const reload = (text: string) => {
    put(text);
    return gateway.logged('the route table was reloaded', (reloads += 1));
  };
  expect(await look()).toEqual({ left: '9', gone: 502 });
  expect(await look()).toEqual({ left: '8', gone: 503 });

  await reload(table(before, [{ path: '/new', upstream: 'there', access: 'public' }]));
  expect((await fetch(`${url}/new`)).status).toBe(200);
  expect(await look()).toEqual({ left: '7', gone: 503 });
  expect(new Set(ports).size).toBe(1);

  await reload(table({ retryBudget: 0.2, requests: 20, failures: 2 }));
  expect(await look()).toEqual({ left: '19', gone: 502 });
  expect(new Set(ports).size).toBe(2);
});
