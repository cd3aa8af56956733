import { once } from 'node:events';
import { Agent, type IncomingMessage, request } from 'node:http';
import { afterEach, expect, test } from '@jest/globals';
import { openConfigMap } from './config-map.ts';
import { runGateway } from './gateway-process.ts';
import { startUpstream, stopAll } from './start-gateway.ts';

afterEach(stopAll);

/** Every other version has a new upstream; the others go on with the one before. */
const tableWith = (address: string, version: number): string =>
  JSON.stringify({
    upstreams: { u: { addresses: [address], failures: 5 + Math.ceil(version / 2) } },
    routes: [
      {
        path: '/a',
        upstream: 'u',
        access: 'public',
        responseHeaders: { set: { 'x-table': String(version) } },
      },
    ],
  });

const start = (listener: Parameters<typeof startUpstream>[0], transport: string) =>
  startUpstream(listener).then((origin) => {
    const { file, put } = openConfigMap(tableWith(origin, 0));
    const gateway = runGateway('', { ROUTES_FILE: file, TRANSPORT: transport });
    const reload = async (version: number): Promise<void> => {
      put(tableWith(origin, version));
      await gateway.logged('the route table was reloaded', version);
    };
    return { gateway, reload };
  });

const post = (url: string, agent: Agent, length: number, more = {}) => {
  const headers = { 'content-length': length, ...more };
  const outgoing = request(`${url}/a`, { agent, method: 'POST', headers });
  const answer = once(outgoing, 'response').then(async ([response]: IncomingMessage[]) => {
    let bytes = 0;
    for await (const chunk of response as IncomingMessage) bytes += (chunk as Buffer).length;
    return { status: response?.statusCode, bytes, table: Number(response?.headers['x-table']) };
  });
  return { outgoing, answer };
};

test.each(['http1', 'undici'])(
  '%s: 100 reloads under load, not one request fails',
  async (transport) => {
    const { gateway, reload } = await start((incoming, outgoing) => incoming.pipe(outgoing), transport);
    await using _ = gateway;
    const url = await gateway.url();
    const agent = new Agent({ keepAlive: true });
    const outcomes: Record<string, number> = {};
    const tables = new Set<number>();
    const loaded = new AbortController();
    const load = async (length: number): Promise<void> => {
      while (!loaded.signal.aborted) {
        const { outgoing, answer } = post(url, agent, length);
        outgoing.end('x'.repeat(length));
        const { status, bytes, table } = await answer;
        tables.add(table);
        const outcome = `${status} ${bytes === length ? 'whole' : 'cut'}`;
        outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
      }
    };
    const clients = Array.from({ length: 16 }, (_unused, index) =>
      load([1, 100, 40_000, 300_000][index % 4] ?? 1),
    );
    for (let version = 1; version <= 100; version += 1) await reload(version);
    loaded.abort();
    await Promise.all(clients);
    agent.destroy();
    expect(Object.keys(outcomes)).toEqual(['200 whole']);
    // That many tables have served requests: the reloads were under load.
    expect(tables.size).toBeGreaterThan(50);
  },
  60_000,
);

test.each(['http1', 'undici'])(
  '%s: a request that came before a reload is sent to its upstream after it',
  async (transport) => {
    const { gateway, reload } = await start((incoming, outgoing) => incoming.pipe(outgoing), transport);
    await using _ = gateway;
    const agent = new Agent({ keepAlive: true });
    // A body this small is collected before anything is sent on; being asked for it shows that the route is found.
    const { outgoing, answer } = post(await gateway.url(), agent, 10, { expect: '100-continue' });
    outgoing.flushHeaders();
    await once(outgoing, 'continue');
    await reload(1);
    outgoing.end('0123456789');
    expect(await answer).toEqual({ status: 200, bytes: 10, table: 0 });
    agent.destroy();
  },
  15_000,
);
