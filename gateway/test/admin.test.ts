import { once } from 'node:events';
import { createServer, type RequestListener, type ServerResponse } from 'node:http';
import { connect, type Socket } from 'node:net';
import { setTimeout as after } from 'node:timers/promises';
import { createLogger } from '@countersign/service-kit';
import { createMetrics } from '@countersign/service-kit/metrics';
import { afterEach, describe, expect, test } from '@jest/globals';
import { createAdminApp } from '../src/admin/admin-app.ts';
import { createGatewayMetrics } from '../src/admin/metrics.ts';
import { createRecentRequests, shownSeconds } from '../src/admin/recent-requests.ts';
import {
  type GatewaySettings,
  listenOn,
  startGateway,
  startUpstream,
  stopAll,
  whenTrue,
} from './start-gateway.ts';

afterEach(stopAll);

interface Settings extends Partial<GatewaySettings> {
  addresses?: readonly string[];
  upstream?: object;
  route?: object;
  now?: () => number;
}

const start = async ({ addresses, upstream, route, now = Date.now, ...settings }: Settings = {}) => {
  const origin = addresses ? '' : await startUpstream((_request, response) => response.end('ok'));
  const recent = createRecentRequests(now);
  const metrics = createMetrics({ name: 'gateway', version: '0' });
  const gateway = await startGateway({
    table: {
      upstreams: { u: { addresses: addresses ?? [origin], ...upstream } },
      routes: [
        { path: '/a', upstream: 'u', access: 'public', methods: ['GET'], ...route },
        { path: '/a/other', upstream: 'u', access: 'public', ...route },
      ],
    },
    measureWith: (table) => createGatewayMetrics({ metrics, table, verifiers: new Map(), recent }),
    ...settings,
  });
  const logger = createLogger({ name: 'gateway', version: '0', destination: { write: () => undefined } });
  const adminApp = createAdminApp({ logger, table: () => gateway.table, metrics, recent });
  const admin = await listenOn(createServer(adminApp.callback()));
  const read = async (path: string): Promise<string> => (await fetch(admin + path)).text();
  const completed = (): Record<string, unknown> | undefined =>
    gateway.records.find(({ msg }) => msg === 'request completed' || msg === 'request aborted');
  return {
    ...gateway,
    ...{ admin, origin, completed },
    metrics: () => read('/metrics'),
    page: () => read('/'),
    status: async () => JSON.parse(await read('/status')) as unknown,
  };
};

const startTo = async (listener: RequestListener, settings: Settings = {}) =>
  start({ addresses: [await startUpstream(listener)], ...settings });

/** Of an address that refuses connections. */
const refusingOrigin = async (): Promise<string> => {
  const gone = createServer();
  const origin = await listenOn(gone);
  gone.close();
  return origin;
};

/** Of one sample; not a number where there is none. */
const valueOf = (metrics: string, sample: string): number => {
  const line = metrics.split('\n').find((text) => text.startsWith(`${sample} `));
  return Number(line?.slice(sample.length + 1));
};

const requestSum =
  'http_server_request_duration_seconds_sum{http_request_method="GET",http_route="/a",http_response_status_code="200"}';
const upstreamDuration = (part: 'count' | 'sum', route = '/a'): string =>
  `gateway_upstream_duration_seconds_${part}{upstream="u",http_route="${route}"}`;

/** Asks again until it holds; the test's own time limit bounds it. */
const eventually = async (read: () => Promise<string>, text: string): Promise<string> => {
  for (;;) {
    const found = await read();
    if (found.includes(text)) return found;
  }
};

const openSocket = (url: string): Socket => connect(Number(new URL(url).port), '127.0.0.1');

/** All that comes back on a connection, until its end or its reset. */
const readAll = async (socket: Socket): Promise<string> => {
  let text = '';
  socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1'))).on('error', () => undefined);
  await once(socket, 'close');
  return text;
};

describe('the admin port', () => {
  test('counts requests by route, method and status, and never by what a client made up', async () => {
    const { url, metrics } = await start();
    await fetch(`${url}/a/1`);
    await fetch(`${url}/a/2`);
    await fetch(`${url}/a/other`);
    await fetch(`${url}/a`, { method: 'POST', body: 'x' });
    await fetch(`${url}/made-up-path`);
    const text = await metrics();
    expect(text).toMatch(
      /http_server_request_duration_seconds_count\{http_request_method="GET",http_route="\/a",http_response_status_code="200"\} 2/,
    );
    expect(text).toContain('http_server_problems_total{http_route="/a",code="method_not_allowed"} 1');
    expect(valueOf(text, upstreamDuration('count'))).toBe(2);
    expect(valueOf(text, upstreamDuration('count', '/a/other'))).toBe(1);
    expect(text).not.toContain('gateway_upstream_failures_total{');
    expect(text).not.toContain('made-up-path');
  });

  test('a connection that switches is no client that left', async () => {
    const upstream = createServer().on('upgrade', (_request, socket: Socket) =>
      socket.end('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n'),
    );
    const { url, metrics, page } = await start({
      addresses: [await listenOn(upstream)],
      route: { webSocket: true },
    });
    const socket = openSocket(url);
    socket.write('GET /a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
    expect(await readAll(socket)).toMatch(/^HTTP\/1\.1 101 /);
    await eventually(metrics, 'http_route="/a",http_response_status_code="101"');
    expect(await page()).toContain('by route and cause: none"');
  });

  test('says where upstreams are and how they do', async () => {
    const { url, status, origin } = await start();
    await fetch(`${url}/a/1`);
    expect(await status()).toMatchObject({
      upstreams: [{ name: 'u', breaker: 'closed', inFlight: 0, endpoints: [{ origin, state: 'available' }] }],
      routes: [{ path: '/a', access: 'public' }, { path: '/a/other' }],
    });
  });

  test('says what is in flight, and what waits for a place', async () => {
    const held: (() => void)[] = [];
    const { url, metrics, status, page } = await startTo(
      (_request, response) => held.push(() => response.end('ok')),
      // Half of the queue is for one caller.
      { upstream: { maxInFlight: 1, maxQueued: 4, maxQueueMs: 20_000 } },
    );
    const answers = [1, 2, 3].map(async () => (await fetch(`${url}/a`)).text());
    const text = await eventually(metrics, 'gateway_upstream_queued{upstream="u"} 2');
    expect(text).toContain('gateway_upstream_in_flight{upstream="u"} 1\n');
    expect(await status()).toMatchObject({ upstreams: [{ inFlight: 1, queued: 2 }] });
    expect(await page()).toContain('<td>u</td><td>closed</td><td>1</td><td>2</td><td>http://127.0.0.1:');
    // The next one gets there once the one before it is answered.
    for (let index = 0; index < answers.length; index += 1) {
      await whenTrue(() => held.length > index);
      held[index]?.();
    }
    await Promise.all(answers);
    const quiet = await metrics();
    expect(quiet).toContain('gateway_upstream_in_flight{upstream="u"} 0\n');
    expect(quiet).toContain('gateway_upstream_queued{upstream="u"} 0\n');
  });

  test('says which addresses are left out, and when none is left', async () => {
    const [gone, works] = [await refusingOrigin(), await startUpstream((_, response) => response.end('ok'))];
    const upstream = { failures: 1, ejectMs: 60_000 };
    const one = await start({ addresses: [gone, works], upstream });
    // The first address gets one of two.
    for (const path of ['/a/1', '/a/2']) expect((await fetch(one.url + path)).status).toBe(200);
    const text = await one.metrics();
    expect(text).toContain(`gateway_upstream_endpoint_available{upstream="u",address="${gone}"} 0`);
    expect(text).toContain(`gateway_upstream_endpoint_available{upstream="u",address="${works}"} 1`);
    expect(text).toContain('gateway_upstream_breaker_open{upstream="u"} 0');
    const all = await start({ addresses: [gone], upstream });
    await fetch(`${all.url}/a`);
    expect(await all.metrics()).toContain('gateway_upstream_breaker_open{upstream="u"} 1');
    expect(await all.page()).toContain(
      `<td>u</td><td>open</td><td>0</td><td>0</td><td>${gone}</td><td>ejected</td><td>connect</td><td>0</td>`,
    );
  });

  test('shows an upstream without any address as well', async () => {
    const { page } = await start({
      addresses: ['http://nowhere.example:8080'],
      upstreams: { resolve: () => Promise.reject(new Error('no such name')) },
    });
    expect(await page()).toContain('<td>u</td><td>open</td><td>0</td><td>0</td><td>none</td>');
  });

  test('counts what goes wrong on the way to an upstream: ejections, retries, and those without a budget', async () => {
    const origin = await refusingOrigin();
    const upstream = { failures: 1, ejectMs: 1, retryBudget: 0 };
    const { url, metrics } = await start({ addresses: [origin], upstream });
    await fetch(`${url}/a`);
    const text = await metrics();
    expect(text).toContain(`gateway_upstream_ejections_total{upstream="u",address="${origin}"} 1`);
    expect(text).toContain('gateway_upstream_retries_total{upstream="u"} 0');
    expect(text).toContain('gateway_upstream_retries_refused_total{upstream="u"} 1');
    expect(text).toContain('http_server_problems_total{http_route="/a",code="upstream_unreachable"} 1');
  });

  test('is read only, and is not read through a name that a page elsewhere made up', async () => {
    const { admin } = await start();
    expect((await fetch(`${admin}/metrics`, { method: 'POST' })).status).toBe(404);
    const socket = openSocket(admin);
    socket.end('GET /status HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n');
    expect(await readAll(socket)).toMatch(/^HTTP\/1\.1 403 /);
  });
});

describe('the time of upstreams', () => {
  test('is that to the head of the answer, and no part of ours', async () => {
    const answer = async (response: ServerResponse): Promise<void> => {
      await after(60);
      response.flushHeaders();
      await after(60);
      response.end('ok');
    };
    const { url, metrics } = await startTo((_request, response) => void answer(response));
    const startMs = performance.now();
    await (await fetch(`${url}/a`)).text();
    const text = await eventually(metrics, requestSum);
    const [upstream, whole] = [valueOf(text, upstreamDuration('sum')), valueOf(text, requestSum)];
    const allMs = performance.now() - startMs;
    // Node's timers may be a millisecond early.
    expect(upstream).toBeGreaterThan(0.05);
    expect(whole - upstream).toBeGreaterThan(0.05);
    expect(whole).toBeLessThan(allMs / 1_000);
  });

  test('counts where there was no head, too', async () => {
    const { url, metrics, completed } = await startTo(() => undefined, {
      route: { timeouts: { headMs: 100 } },
    });
    expect((await fetch(`${url}/a`)).status).toBe(504);
    const text = await eventually(metrics, 'gateway_upstream_failures_total{');
    expect(valueOf(text, upstreamDuration('count'))).toBe(1);
    expect(valueOf(text, upstreamDuration('sum'))).toBeGreaterThan(0.09);
    expect(completed()?.['upstream_duration_ms']).toBeGreaterThan(90);
  });

  test('counts for a client that gives up, which is no failure', async () => {
    const leaving = new AbortController();
    const { url, metrics, completed } = await startTo(() => leaving.abort());
    await expect(fetch(`${url}/a`, { signal: leaving.signal })).rejects.toThrow('aborted');
    const text = await eventually(metrics, 'http_response_status_code="499"');
    expect(valueOf(text, upstreamDuration('count'))).toBe(1);
    expect(completed()?.['upstream_duration_ms']).toBeGreaterThan(0);
    expect(text).not.toContain('gateway_upstream_failures_total{');
  });

  test('counts all attempts of a request, which is no failure when the last one works', async () => {
    let attempts = 0;
    const { url, metrics, completed } = await startTo((request, response) => {
      attempts += 1;
      if (attempts === 1) void after(60).then(() => request.socket.destroy());
      else response.end('ok');
    });
    expect((await fetch(`${url}/a`)).status).toBe(200);
    const text = await eventually(metrics, requestSum);
    expect(valueOf(text, upstreamDuration('count'))).toBe(1);
    expect(valueOf(text, upstreamDuration('sum'))).toBeGreaterThan(0.05);
    expect(completed()).toMatchObject({ attempts: 2, retried_after: 'reset' });
    expect(text).not.toContain('gateway_upstream_failures_total{');
  });
});

describe('failures of upstreams', () => {
  const halfAnAnswer: RequestListener = (_request, response) => {
    response.writeHead(200, { 'Content-Length': 10 });
    response.write('half');
  };
  const causes: [cause: string, code: string, listener: RequestListener][] = [
    ['reset', 'upstream_unreachable', ({ socket }) => void socket.destroy()],
    ['protocol', 'upstream_invalid', ({ socket }) => void socket.end('nonsense\r\n\r\n')],
    ['head_timeout', 'upstream_timeout', () => undefined],
    ['idle_timeout', 'upstream_broke_off', halfAnAnswer],
  ];

  test.each(causes)(
    'are counted and shown as %s, which is %s to the client',
    async (cause, code, listener) => {
      const timeouts = { headMs: 50, idleMs: 50 };
      const { url, metrics, page } = await startTo(listener, { route: { retries: 0, timeouts } });
      await fetch(`${url}/a`)
        .then((response) => response.text())
        .catch(() => undefined);
      const text = await eventually(metrics, 'gateway_upstream_failures_total{');
      expect(text).toContain(
        `gateway_upstream_failures_total{upstream="u",http_route="/a",cause="${cause}"} 1\n`,
      );
      expect(text).toContain(`http_server_problems_total{http_route="/a",code="${code}"} 1`);
      expect(await page()).toContain(`by route and cause: /a ${cause}: 1"`);
    },
  );

  const resolve = (): Promise<string[]> => Promise.reject(new Error('no such name'));
  const shed: [cause: string, settings: Settings][] = [
    ['queue_full', { upstream: { maxInFlight: 1, maxQueued: 0 } }],
    ['queue_timeout', { upstream: { maxInFlight: 1, maxQueueMs: 50 } }],
    ['unresolved', { addresses: ['http://nowhere.example:8080'], upstreams: { resolve } }],
  ];

  test.each(shed)('are counted and shown as %s, where no upstream was asked', async (cause, settings) => {
    const held: (() => void)[] = [];
    const upstream: RequestListener = (_request, response) => held.push(() => response.end('ok'));
    const { url, metrics, page } = await startTo(upstream, settings);
    const first = settings.addresses ? undefined : fetch(`${url}/a`);
    await whenTrue(() => !first || held.length > 0);
    expect((await fetch(`${url}/a`)).status).toBe(503);
    const text = await eventually(metrics, 'gateway_upstream_failures_total{');
    expect(text).toContain(`{upstream="u",http_route="/a",cause="${cause}"} 1\n`);
    expect(text).not.toContain('gateway_upstream_duration_seconds_count{');
    expect(await page()).toContain(`by route and cause: /a ${cause}: 1"`);
    held[0]?.();
    await first;
  });

  test('are counted and shown as breaker_open, where no address may be tried', async () => {
    const upstream = { failures: 1, ejectMs: 60_000 };
    const settings = { addresses: [await refusingOrigin()], upstream, route: { retries: 0 } };
    const { url, metrics, page } = await start(settings);
    for (const status of [502, 503]) expect((await fetch(`${url}/a`)).status).toBe(status);
    const text = await eventually(metrics, 'cause="breaker_open"} 1');
    expect(text).toContain('{upstream="u",http_route="/a",cause="connect"} 1\n');
    expect(await page()).toContain('by route and cause: /a connect: 1, /a breaker_open: 1"');
  });

  test('are told apart by route where the code is the same', async () => {
    let hears = 0;
    const { url, metrics, page } = await startTo(() => (hears += 1), {
      route: { retries: 0, timeouts: { headMs: 500, totalMs: 100 } },
    });
    await fetch(`${url}/a/other`);
    expect(hears).toBe(1);
    const text = await eventually(metrics, 'gateway_upstream_failures_total{');
    expect(text).toContain('{upstream="u",http_route="/a/other",cause="total_timeout"} 1\n');
    expect(await page()).toContain('by route and cause: /a/other total_timeout: 1"');
  });
});

describe('what is refused before it is a request', () => {
  const refusals: [cause: string, bytes: string, status: number][] = [
    ['invalid_request', 'NONSENSE\r\n\r\n', 400],
    ['headers_too_large', `GET /a HTTP/1.1\r\nHost: a\r\nX-Long: ${'x'.repeat(20_000)}\r\n\r\n`, 431],
  ];

  test.each(refusals)('is counted and shown: %s', async (cause, bytes, status) => {
    const { url, metrics, page } = await start();
    const socket = openSocket(url);
    socket.write(bytes);
    expect(await readAll(socket)).toContain(`HTTP/1.1 ${status} `);
    expect(await metrics()).toContain(`gateway_connections_refused_total{cause="${cause}"} 1\n`);
    expect(await page()).toContain(`by route and cause: none ${cause}: 1"`);
  });

  test.each([
    ['too_many_of_address', { maxConnectionsPerAddress: 1 }],
    ['too_many_connections', { maxConnections: 1 }],
  ])('is counted and shown, without a line in the log: %s', async (cause, settings) => {
    const { url, metrics, page, records } = await start(settings);
    const first = openSocket(url);
    first.write('GET /a HTTP/1.1\r\nHost: a\r\n\r\n');
    await once(first, 'data');
    expect(await metrics()).not.toContain('gateway_connections_refused_total{');
    const logged = records.length;
    expect(await readAll(openSocket(url))).toBe('');
    expect(await readAll(openSocket(url))).toBe('');
    expect(await metrics()).toContain(`gateway_connections_refused_total{cause="${cause}"} 2\n`);
    expect(await page()).toContain(`by route and cause: none ${cause}: 2"`);
    expect(records).toHaveLength(logged);
    first.destroy();
  });
});

describe('the live page', () => {
  test('draws the last two minutes, without a script', async () => {
    const { url, admin } = await start();
    await fetch(`${url}/a/1`);
    await fetch(`${url}/nothing`);
    const response = await fetch(admin);
    const page = await response.text();
    expect(response.headers.get('content-security-policy')).toMatch(/^default-src 'none'/);
    expect(page.match(/<svg /g)).toHaveLength(3);
    expect(page).not.toContain('<script');
    expect(page).toMatch(/<text [^>]*>none 404: 1<\/text><rect /);
  });

  test('says the requests and the latency of the last whole second', async () => {
    let nowMs = 1_000_000;
    const { url, page } = await startTo(
      (_request, response) => void after(60).then(() => response.end('ok')),
      { now: () => nowMs },
    );
    await Promise.all(['/a/1', '/a/2', '/nothing'].map(async (path) => (await fetch(url + path)).text()));
    await eventually(page, 'at most 3 in 120 s');
    nowMs += 1_000;
    const text = await page();
    expect(text).toContain('>Requests per second: all 3, refused or failed 1 per s; at most 3 in 120 s<');
    const [, median, p99] = /Latency: median ([\d.]+), 99th percentile ([\d.]+) ms/.exec(text) ?? [];
    expect(Number(median)).toBeGreaterThan(50);
    expect(Number(p99)).toBeGreaterThanOrEqual(Number(median));
    nowMs += shownSeconds * 1_000;
    expect(await page()).toContain('all 0, refused or failed 0 per s; at most 1 in 120 s');
  });
});

describe('what happened lately', () => {
  const ok = { status: 200, route: '/a', cause: undefined };

  test('is told by the second, with the percentiles of each', () => {
    let nowMs = 5_000;
    const recent = createRecentRequests(() => nowMs);
    for (let ms = 100; ms >= 1; ms -= 1) recent.add({ ...ok, ms });
    nowMs = 6_999;
    recent.add({ ...ok, ms: 7, status: 404 });
    expect(recent.seconds()).toHaveLength(shownSeconds);
    expect(recent.seconds().slice(-3)).toEqual([
      { requests: 0, errors: 0, p50Ms: 0, p99Ms: 0 },
      { requests: 100, errors: 0, p50Ms: 51, p99Ms: 100 },
      { requests: 1, errors: 1, p50Ms: 7, p99Ms: 7 },
    ]);
  });

  test('tells the percentiles of a busy second from a sample of all of it', () => {
    const recent = createRecentRequests(() => 0);
    for (let index = 0; index < 10_000; index += 1) recent.add({ ...ok, ms: index < 5_000 ? 1 : 1_000 });
    const [second] = recent.seconds().slice(-1);
    expect(second).toMatchObject({ requests: 10_000, p99Ms: 1_000 });
  });

  test('counts errors by route and cause, the most frequent first, and forgets them after two minutes', () => {
    let nowMs = 0;
    const recent = createRecentRequests(() => nowMs);
    recent.add({ ...ok, ms: 1, status: 502, cause: 'connect' });
    nowMs = 60_000;
    recent.add({ ...ok, ms: 1, status: 502, cause: 'reset' });
    recent.add({ ...ok, ms: 1, status: 200, cause: 'reset' });
    recent.addRefused('too_many_of_address');
    const later = [
      { route: '/a', cause: 'reset', count: 2 },
      { route: 'none', cause: 'too_many_of_address', count: 1 },
    ];
    expect(recent.errors()).toEqual([later[0], { route: '/a', cause: 'connect', count: 1 }, later[1]]);
    nowMs = shownSeconds * 1_000;
    expect(recent.seconds().reduce((sum, { requests }) => sum + requests, 0)).toBe(2);
    expect(recent.errors()).toEqual(later);
  });
});
