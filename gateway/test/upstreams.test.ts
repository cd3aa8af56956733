import { EventEmitter, once } from 'node:events';
import { createServer, get, type IncomingMessage, type RequestListener } from 'node:http';
import { afterEach, describe, expect, test } from '@jest/globals';
import { createRetryBudget } from '../src/upstream/retry-budget.ts';
import { createHttp1Transport } from '../src/transport/http1-transport.ts';
import { createUndiciTransport } from '../src/transport/undici-transport.ts';
import { small, startScripted } from './scripted-server.ts';
import { listenOn, startGateway, startUpstream, stopAll, whenTrue } from './start-gateway.ts';

afterEach(stopAll);

const named =
  (name: string): RequestListener =>
  (_request, response) => {
    response.end(name);
  };

/** An address that refuses connections. */
const deadAddress = async (): Promise<string> => {
  const server = createServer();
  const url = await listenOn(server);
  server.close();
  await once(server, 'close');
  return url;
};

const gatewayTo = (addresses: string[], upstream: object = {}, route: object = {}, more: object = {}) =>
  startGateway({
    table: {
      upstreams: { u: { addresses, ...upstream } },
      routes: [{ path: '/', upstream: 'u', access: 'public', ...route }],
    },
    ...more,
  });

describe('several addresses', () => {
  test('share the requests', async () => {
    const addresses = await Promise.all(['a', 'b', 'c'].map((name) => startUpstream(named(name))));
    const { url } = await gatewayTo(addresses);
    const answers: string[] = [];
    for (let count = 0; count < 9; count += 1) answers.push(await (await fetch(`${url}/x`)).text());
    expect(answers.toSorted()).toEqual(['a', 'a', 'a', 'b', 'b', 'b', 'c', 'c', 'c']);
  });

  test('those busy get no more while others are idle', async () => {
    const held: (() => void)[] = [];
    const holding = new EventEmitter();
    const start = (name: string): Promise<string> =>
      startUpstream((request, response) => {
        if (request.url !== '/held') {
          response.end(name);
          return;
        }
        held.push(() => response.end(name));
        holding.emit('held', name);
      });
    const { url } = await gatewayTo(await Promise.all(['a', 'b', 'c'].map(start)));
    const ask = async (): Promise<string> => (await fetch(`${url}/x`)).text();
    const isHeld = once(holding, 'held');
    const first = fetch(`${url}/held`);
    const [busy] = (await isHeld) as [string];
    const answers: string[] = [];
    while (answers.length < 9) answers.push(await ask());
    expect(new Set(answers)).toEqual(new Set(['a', 'b', 'c'].filter((name) => name !== busy)));
    held[0]?.();
    expect(await (await first).text()).toBe(busy);
    expect(new Set([await ask(), await ask(), await ask()])).toEqual(new Set(['a', 'b', 'c']));
  });

  test('one of three dead: no request fails, and it is left out after its failures', async () => {
    const addresses = [await deadAddress(), await startUpstream(named('b')), await startUpstream(named('c'))];
    const { url, events, records, table } = await gatewayTo(addresses, { failures: 3, ejectMs: 60_000 });
    for (let count = 0; count < 30; count += 1) expect((await fetch(`${url}/x`)).status).toBe(200);
    expect(events).toMatchObject([
      { event: 'address', state: { origin: addresses[0], state: 'ejected', lastFailure: 'connect' } },
    ]);
    expect(table.upstreams.get('u')?.state()).toMatchObject({ breaker: 'closed', retries: 3 });
    const retried = records.filter(({ attempts }) => attempts === 2);
    expect(retried).toMatchObject(
      [1, 2, 3].map(() => ({ 'http.response.status_code': 200, retried_after: 'connect' })),
    );
  });

  test('one of three dead, and back: it gets its share of the requests again', async () => {
    await using upstream = await startScripted((socket) => socket.write(small));
    const addresses = [upstream.origin, await startUpstream(named('b')), await startUpstream(named('c'))];
    await upstream.stop();
    let now = 0;
    const { url, events } = await gatewayTo(
      addresses,
      { failures: 1, ejectMs: 1_000 },
      {},
      { upstreams: { now: () => now } },
    );
    const ask = async (count: number): Promise<string[]> => {
      const answers: string[] = [];
      while (answers.length < count) answers.push(await (await fetch(`${url}/x`)).text());
      return answers.toSorted();
    };
    expect(new Set(await ask(6))).toEqual(new Set(['b', 'c']));
    await upstream.restart();
    now = 1_000;
    expect(await ask(9)).toEqual(['b', 'b', 'b', 'c', 'c', 'c', 'ok', 'ok', 'ok']);
    expect(events).toMatchObject([{ state: { state: 'ejected' } }, { state: { state: 'available' } }]);
  });

  test('a request that may have been seen is not sent again, unless it can be', async () => {
    const seen: string[] = [];
    const dies: RequestListener = (request) => {
      seen.push(request.method as string);
      request.socket.destroy();
    };
    const addresses = [await startUpstream(dies), await startUpstream(dies)];
    const { url } = await gatewayTo(addresses, {}, { retries: 1 });
    expect((await fetch(`${url}/x`)).status).toBe(502);
    expect(seen.splice(0)).toEqual(['GET', 'GET']);
    expect((await fetch(`${url}/x`, { method: 'POST', body: 'x' })).status).toBe(502);
    expect(seen).toEqual(['POST']);
  });
});

describe('all addresses dead', () => {
  test('502 until they are left out, then 503 with Retry-After at once', async () => {
    const { url, records } = await gatewayTo(
      [await deadAddress()],
      { failures: 2, ejectMs: 60_000 },
      { retries: 0 },
    );
    const statuses: number[] = [];
    for (let count = 0; count < 4; count += 1) statuses.push((await fetch(`${url}/x`)).status);
    expect(statuses).toEqual([502, 502, 503, 503]);
    const response = await fetch(`${url}/x`);
    expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(await response.json()).toMatchObject({ code: 'upstream_unavailable' });
    expect(records.some((record) => record['cause'] === 'connect')).toBe(true);
  });

  test.each([
    ['when the trial is due', 4_000, 2_500, ['4', '2']],
    ['within five seconds', 60_000, 30_000, ['5', '5']],
  ])('Retry-After says %s', async (_, ejectMs, laterMs, expected) => {
    let now = 0;
    const { url } = await gatewayTo(
      [await deadAddress()],
      { failures: 1, ejectMs },
      { retries: 0 },
      { upstreams: { now: () => now } },
    );
    expect((await fetch(`${url}/x`)).status).toBe(502);
    const retryAfter = async () => (await fetch(`${url}/x`)).headers.get('retry-after');
    const first = await retryAfter();
    now = laterMs;
    expect([first, await retryAfter()]).toEqual(expected);
  });

  test('it heals by itself: one trial, then all', async () => {
    let alive = false;
    const origin = await startUpstream((request, response) => {
      if (alive) response.end('ok');
      else request.socket.destroy();
    });
    let now = 0;
    const { url, events } = await gatewayTo(
      [origin],
      { failures: 1, ejectMs: 1_000 },
      { retries: 0 },
      { upstreams: { now: () => now } },
    );
    const status = async () => (await fetch(`${url}/x`)).status;
    expect([await status(), await status()]).toEqual([502, 503]);
    now = 1_001;
    expect([await status(), await status()]).toEqual([502, 503]);
    alive = true;
    now = 2_500;
    expect(await status()).toBe(503); // the second time is twice as long
    now = 3_100;
    expect([await status(), await status()]).toEqual([200, 200]);
    expect(events.map((event) => event.event === 'address' && event.state.state)).toEqual([
      'ejected',
      'ejected',
      'available',
    ]);
  });
});

test('a trial whose answer goes on for long brings its address back at its head', async () => {
  let answer: RequestListener = (request) => request.socket.destroy();
  const origin = await startUpstream((request, response) => answer(request, response));
  let now = 0;
  const { url, table } = await gatewayTo(
    [origin],
    { failures: 1, ejectMs: 100 },
    { retries: 0 },
    { upstreams: { now: () => now } },
  );
  expect((await fetch(`${url}/x`)).status).toBe(502);
  now = 100;
  answer = (_request, response) => response.write('first');
  const long = await fetch(`${url}/long`);
  expect(long.status).toBe(200);
  answer = named('ok');
  expect((await fetch(`${url}/x`)).status).toBe(200);
  expect(table.upstreams.get('u')?.state()).toMatchObject({ breaker: 'closed', inFlight: 1 });
  await long.body?.cancel();
});

describe('names', () => {
  test('each address behind a name is used, with the name as host; a name that is gone keeps what it had', async () => {
    const hosts: unknown[] = [];
    const origin = await startUpstream(({ headers }, response) => {
      hosts.push(headers.host);
      response.end('ok');
    });
    const { port } = new URL(origin);
    let answer: () => Promise<string[]> = async () => ['127.0.0.1'];
    const { url, events } = await gatewayTo(
      [`http://records.test:${port}`],
      { resolveMs: 1 },
      {},
      { upstreams: { resolve: () => answer() } },
    );
    expect((await fetch(`${url}/x`)).status).toBe(200);
    expect(hosts).toEqual([`records.test:${port}`]);
    const gone = new Promise<void>((resolve) => {
      answer = async () => {
        if (events.length > 0) resolve();
        throw Object.assign(new Error('getaddrinfo ENOTFOUND'), { code: 'ENOTFOUND' });
      };
    });
    await gone;
    expect(events).toMatchObject([{ event: 'unresolved', address: `http://records.test:${port}` }]);
    expect((await fetch(`${url}/x`)).status).toBe(200);
  });

  test('an address that the name has no more gets no request, ends those that it has, and loses its connections', async () => {
    const holds = Promise.withResolvers<() => void>();
    const left: Promise<unknown>[] = [];
    const start = (name: string): Promise<string> => {
      const server = createServer({ keepAliveTimeout: 600_000 }, (request, response) => {
        if (request.url === '/held') holds.resolve(() => response.end(name));
        else response.end(name);
      });
      if (name === 'a') server.on('connection', (socket) => left.push(once(socket, 'close')));
      return listenOn(server);
    };
    const origins = new Map([
      ['http://10.0.0.1:80', await start('a')],
      ['http://10.0.0.2:80', await start('b')],
    ]);
    let addresses = ['10.0.0.1'];
    const { url, table } = await gatewayTo(
      ['http://records.test'],
      { resolveMs: 1 },
      {},
      {
        createTransport: (origin: string) => createHttp1Transport(origins.get(origin) ?? ''),
        upstreams: { resolve: async () => addresses },
      },
    );
    const endpoints = () => table.upstreams.get('u')?.state().endpoints ?? [];
    const ask = async (path: string): Promise<string> => (await fetch(`${url}${path}`)).text();
    const held = ask('/held');
    const answer = await holds.promise;
    expect(await ask('/x')).toBe('a');
    addresses = ['10.0.0.1', '10.0.0.2'];
    await whenTrue(() => endpoints().length === 2);
    addresses = ['10.0.0.2'];
    await whenTrue(() => endpoints().length === 1);
    expect([await ask('/x'), await ask('/x'), await ask('/x')]).toEqual(['b', 'b', 'b']);
    answer();
    expect(await held).toBe('a');
    expect(left).toHaveLength(2);
    await Promise.all(left);
  });

  test('an address that comes later waits for its health check, while others work', async () => {
    const origin = await startUpstream((_request, response) => response.end('ok'));
    const { port } = new URL(origin);
    let addresses = ['127.0.0.1'];
    const { url, table, events } = await gatewayTo(
      [`http://records.test:${port}`],
      { resolveMs: 1, healthCheck: { path: '/healthz' } },
      { retries: 0 },
      { upstreams: { resolve: async () => addresses } },
    );
    expect((await fetch(`${url}/x`)).status).toBe(200);
    // Nothing listens there.
    addresses = ['127.0.0.1', '127.0.0.2'];
    while (events.length === 0) await fetch(`${url}/x`);
    for (let index = 0; index < 10; index += 1) expect((await fetch(`${url}/x`)).status).toBe(200);
    expect(table.upstreams.get('u')?.state().endpoints).toMatchObject([
      { origin, state: 'available' },
      { state: 'unhealthy' },
    ]);
  });

  test('a name that never resolved: 503, not a crash', async () => {
    const resolve = async () => {
      throw new Error('getaddrinfo ENOTFOUND');
    };
    const { url, events } = await gatewayTo(['http://nowhere.test'], {}, {}, { upstreams: { resolve } });
    expect((await fetch(`${url}/x`)).status).toBe(503);
    expect(events).toMatchObject([{ event: 'unresolved' }]);
  });
});

describe('health checks', () => {
  test('leave out an address that says it is not healthy, unless all do, and take it back', async () => {
    const sick = new Set(['a']);
    const start = (name: string): Promise<string> =>
      startUpstream((request, response) => {
        response.writeHead(request.url === '/healthz' && sick.has(name) ? 503 : 200).end(name);
      });
    const origins = [await start('a'), await start('b')];
    const states = new Map<string, string>();
    let changed = (): void => {};
    const { url } = await gatewayTo(
      origins,
      { healthCheck: { path: '/healthz', intervalMs: 1 } },
      {},
      {
        upstreams: {
          report: ({ state }: { state?: { origin: string; state: string } }) => {
            if (state) states.set(state.origin, state.state);
            changed();
          },
        },
      },
    );
    const untilStates = async (...wanted: (string | undefined)[]): Promise<void> => {
      while (origins.some((origin, index) => states.get(origin) !== wanted[index]))
        await new Promise<void>((resolve) => {
          changed = resolve;
        });
    };
    const answers = async (): Promise<Set<string>> => {
      const names = new Set<string>();
      for (let count = 0; count < 4; count += 1) names.add(await (await fetch(`${url}/x`)).text());
      return names;
    };
    await untilStates('unhealthy', undefined);
    expect(await answers()).toEqual(new Set(['b']));
    sick.add('b');
    await untilStates('unhealthy', 'unhealthy');
    expect(await answers()).toEqual(new Set(['a', 'b']));
    sick.delete('a');
    await untilStates('available', 'unhealthy');
    expect(await answers()).toEqual(new Set(['a']));
  });
});

test('one failed health check says nothing, two in a row do', async () => {
  const statuses = [503, 200, 503, 200, 503, 503];
  const asked = Promise.withResolvers<void>();
  const reported = Promise.withResolvers<number>();
  const origin = await startUpstream((_request, response) => {
    const status = statuses.shift();
    if (status === undefined) asked.resolve();
    response.writeHead(status ?? 503).end();
  });
  await gatewayTo(
    [origin],
    { healthCheck: { path: '/readyz', intervalMs: 1 } },
    {},
    { upstreams: { report: () => reported.resolve(statuses.length) } },
  );
  await asked.promise;
  expect(await reported.promise).toBe(0);
});

describe('too many requests at once', () => {
  test('some wait, the rest are shed with Retry-After', async () => {
    const waiting: (() => void)[] = [];
    let arrived = (): void => {};
    const origin = await startUpstream((_request, response) => {
      waiting.push(() => response.end('ok'));
      arrived();
    });
    const { url, table } = await gatewayTo([origin], { maxInFlight: 1, maxQueued: 1, maxQueueMs: 60_000 });
    const first = fetch(`${url}/x`);
    await new Promise<void>((resolve) => {
      arrived = resolve;
    });
    const second = fetch(`${url}/x`);
    const third = fetch(`${url}/x`);
    // One of the two waits, the other is refused.
    const refused = await Promise.race([second, third]);
    expect(refused.status).toBe(503);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(table.upstreams.get('u')?.state()).toMatchObject({ inFlight: 1, queued: 1 });
    const next = new Promise<void>((resolve) => {
      arrived = resolve;
    });
    waiting.shift()?.();
    await next;
    waiting.shift()?.();
    const statuses = (await Promise.all([first, second, third])).map(({ status }) => status);
    expect(statuses.toSorted((a, b) => a - b)).toEqual([200, 200, 503]);
    expect(table.upstreams.get('u')?.state()).toMatchObject({ inFlight: 0, queued: 0 });
  });

  const startHolding = () => {
    const held: (() => void)[] = [];
    const arrivals = new EventEmitter();
    const listener: RequestListener = (_request, response) => {
      held.push(() => response.end('ok'));
      arrivals.emit(String(held.length));
    };
    return { listener, held, arrived: (count: number) => once(arrivals, String(count)) };
  };

  test.each([
    ['http1', createHttp1Transport],
    ['undici', createUndiciTransport],
  ])('as many as the upstream takes go to one address, by %s', async (_, createTransport) => {
    const count = 1_100;
    const { listener, held, arrived } = startHolding();
    const origin = await startUpstream(listener);
    const { url } = await gatewayTo(
      [origin],
      { maxInFlight: count, maxInFlightPerCaller: count },
      {},
      { createTransport, maxConnectionsPerAddress: 2_000 },
    );
    const all = arrived(count);
    const answers = Promise.all(
      Array.from({ length: count }, async () => {
        const [response] = (await once(get(url, { agent: false }), 'response')) as [IncomingMessage];
        response.resume();
        return response.statusCode;
      }),
    );
    await Promise.race([all, answers]);
    for (const answer of held) answer();
    expect(new Set(await answers)).toEqual(new Set([200]));
  });

  test('a client of the upstream that takes no further connection: 503 with Retry-After', async () => {
    const { listener, held, arrived } = startHolding();
    const origin = await startUpstream(listener);
    const createTransport = () => createHttp1Transport(origin, { maxConnections: 1 });
    const { url, records } = await gatewayTo([origin], {}, {}, { createTransport });
    const first = fetch(url);
    await arrived(1);
    const refused = await fetch(url);
    expect(refused.status).toBe(503);
    expect(refused.headers.get('retry-after')).toBe('1');
    expect(await refused.json()).toMatchObject({ code: 'upstream_unavailable' });
    expect(records.at(-1)).toMatchObject({ cause: 'closed', upstream_address: origin });
    held[0]?.();
    expect((await first).status).toBe(200);
  });
});

test('retries are a share of requests, and a few', () => {
  const budget = createRetryBudget(0.1);
  const spend = (): number => {
    let count = 0;
    while (budget.withdraw()) count += 1;
    return count;
  };
  expect(spend()).toBe(10);
  for (let count = 0; count < 50; count += 1) budget.deposit();
  expect(spend()).toBe(4); // 50 deposits of a tenth are a hair below five
  expect(budget).toMatchObject({ taken: 14, refused: 2 });
  expect(createRetryBudget(0).withdraw()).toBe(false);
});
