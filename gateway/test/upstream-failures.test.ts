import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Agent, type IncomingMessage, request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, describe, expect, test } from '@jest/globals';
import { createHttp1Transport } from '../src/transport/http1-transport.ts';
import { createUndiciTransport } from '../src/transport/undici-transport.ts';
import { type ScriptedServer, small, startScripted } from './scripted-server.ts';
import { startGateway, stopAll, type TestGateway } from './start-gateway.ts';

afterEach(stopAll);

const shortMs = 300;
/** For a machine that is busy. `transport/conformance.test.ts` shows the quarter of a second, by a clock of its own. */
const slackMs = 5_000;
/** Far above the slack: what is over before was at once, and what ran out was the one time that is short. */
const longMs = 30_000;
const long = { connectMs: longMs, headMs: longMs, idleMs: longMs };

interface Outcome {
  /** The status of an answer that arrived whole; of one that broke off, `broken` too. */
  status: number | undefined;
  broken: boolean;
  code: unknown;
  retryAfter: string | undefined;
  afterMs: number;
  /** The completion record. */
  record: Record<string, unknown>;
}

/** One client, which keeps its connection as long as it is let. */
const createClient = ({ url, records }: TestGateway) => {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  let count = 0;
  return async (method = 'GET', body?: Buffer): Promise<Outcome> => {
    count += 1;
    const requestId = `failure-${count}`;
    const startMs = performance.now();
    const outgoing = request(`${url}/a`, { method, agent, headers: { 'x-request-id': requestId } });
    const outcome: Omit<Outcome, 'afterMs' | 'record'> = {
      status: undefined,
      broken: false,
      code: undefined,
      retryAfter: undefined,
    };
    try {
      outgoing.on('error', () => undefined).end(body);
      const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
      outcome.status = response.statusCode;
      outcome.retryAfter = response.headers['retry-after'];
      let text = '';
      for await (const chunk of response) text += String(chunk);
      if (text.startsWith('{')) outcome.code = (JSON.parse(text) as { code: unknown }).code;
    } catch {
      outcome.broken = true;
    }
    const afterMs = performance.now() - startMs;
    for (;;) {
      const record = records.find(
        ({ request_id: id, duration_ms: duration }) => id === requestId && duration !== undefined,
      );
      if (record) return { ...outcome, afterMs, record };
      await turn();
    }
  };
};

/** The next request is served, on the same connection where it is still there, and nothing is left of the one before. */
const expectHealed = async ({ table }: TestGateway, ask: ReturnType<typeof createClient>): Promise<void> => {
  expect(await ask()).toMatchObject({ status: 200, broken: false });
  expect(table.upstreams.get('u')?.state()).toMatchObject({ inFlight: 0, endpoints: [{ outstanding: 0 }] });
};

/** Not before a time that has to pass first, 0 for none, and long before any other. */
const expectAfter = ({ afterMs }: Outcome, timeMs: number): void => {
  expect(afterMs).toBeGreaterThanOrEqual(timeMs);
  expect(afterMs).toBeLessThan(timeMs + slackMs);
};

const transports = { http1: createHttp1Transport, undici: createUndiciTransport };

describe.each(['http1', 'undici'] as const)('over %s', (transport) => {
  const gatewayTo = (address: string, timeouts: Partial<typeof long> = {}, more: object = {}) =>
    startGateway({
      createTransport: transports[transport],
      table: {
        upstreams: { u: { addresses: [address], resolveMs: 1 } },
        routes: [
          { path: '/a', upstream: 'u', access: 'public', timeouts: { ...long, ...timeouts }, retries: 0 },
        ],
      },
      ...more,
    });

  test('refused: 502 at once, and served as soon as somebody listens', async () => {
    await using upstream = await startScripted((socket) => socket.write(small));
    const gateway = await gatewayTo(upstream.origin);
    const ask = createClient(gateway);
    await upstream.stop();
    const outcome = await ask();
    expect(outcome).toMatchObject({ status: 502, broken: false, code: 'upstream_unreachable' });
    expect(outcome.record).toMatchObject({ level: 'error', cause: 'connect' });
    expectAfter(outcome, 0);
    await upstream.restart();
    await expectHealed(gateway, ask);
  });

  test.each<[string, (socket: Socket) => unknown]>([
    ['resets', (socket) => socket.resetAndDestroy()],
    ['ends the connection', (socket) => socket.end()],
    ['resets within the head', (socket) => socket.write('HTTP/1.1 200 O', () => socket.resetAndDestroy())],
    ['ends within the head', (socket) => socket.end('HTTP/1.1 200 O')],
  ])('an upstream that %s before its answer: 502 at once', async (_, answer) => {
    await using upstream = await startScripted(answer);
    const gateway = await gatewayTo(upstream.origin);
    const ask = createClient(gateway);
    const outcome = await ask();
    expect(outcome).toMatchObject({ status: 502, broken: false, code: 'upstream_unreachable' });
    expect(outcome.record).toMatchObject({
      level: 'error',
      cause: 'reset',
      upstream_address: upstream.origin,
    });
    expectAfter(outcome, 0);
    upstream.answer = (socket) => socket.write(small);
    await expectHealed(gateway, ask);
  });

  const lengthed = 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf';
  const chunked = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n';
  const large = `HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n${'x'.repeat(100_000)}`;
  test.each<[string, (socket: Socket) => unknown]>([
    [
      'resets within a body with its length',
      (socket) => socket.write(lengthed, () => socket.resetAndDestroy()),
    ],
    ['resets between two chunks', (socket) => socket.write(chunked, () => socket.resetAndDestroy())],
    ['ends within a body with its length', (socket) => socket.end(lengthed)],
    ['ends between two chunks', (socket) => socket.end(chunked)],
    ['ends within a large body', (socket) => socket.end(large)],
    ['ends after the head', (socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n')],
  ])('an upstream that %s: the client is cut off, never told that this was all', async (_, answer) => {
    await using upstream = await startScripted(answer);
    const gateway = await gatewayTo(upstream.origin);
    const ask = createClient(gateway);
    const outcome = await ask();
    expect(outcome.broken).toBe(true);
    expect(outcome.record).toMatchObject({
      'error.type': 'upstream_broke_off',
      cause: 'reset',
      aborted: true,
    });
    expectAfter(outcome, 0);
    upstream.answer = (socket) => socket.write(small);
    await expectHealed(gateway, ask);
  });

  test.each<[string, (socket: Socket) => unknown]>([
    ['says nothing', () => undefined],
    ['says half a head', (socket) => socket.write('HTTP/1.1 200 OK\r\nContent-')],
    ['says that it will answer', (socket) => socket.write('HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n')],
  ])('an upstream that %s: 504 at headMs', async (_, answer) => {
    await using upstream = await startScripted(answer);
    const gateway = await gatewayTo(upstream.origin, { headMs: shortMs });
    const ask = createClient(gateway);
    const outcome = await ask();
    expect(outcome).toMatchObject({ status: 504, broken: false, code: 'upstream_timeout' });
    expect(outcome.record).toMatchObject({ level: 'error', cause: 'head_timeout' });
    expectAfter(outcome, shortMs);
    upstream.answer = (socket) => socket.write(small);
    await expectHealed(gateway, ask);
  });

  test.each([
    ['a body with its length', lengthed],
    ['chunks', chunked],
    ['a large body', large],
  ])('an upstream that stalls within %s: the client is cut off at idleMs', async (_, bytes) => {
    await using upstream = await startScripted((socket) => socket.write(bytes));
    const gateway = await gatewayTo(upstream.origin, { idleMs: shortMs });
    const ask = createClient(gateway);
    const outcome = await ask();
    expect(outcome.broken).toBe(true);
    expect(outcome.record).toMatchObject({ 'error.type': 'upstream_broke_off', cause: 'idle_timeout' });
    expectAfter(outcome, shortMs);
    upstream.answer = (socket) => socket.write(small);
    await expectHealed(gateway, ask);
  });

  test('half-open, an upstream that reads the head and no more: 504 at idleMs for a body that does not fit', async () => {
    await using upstream = await startScripted((socket) => socket.pause());
    const gateway = await gatewayTo(upstream.origin, { idleMs: shortMs });
    const ask = createClient(gateway);
    const outcome = await ask('POST', Buffer.alloc(8 * 2 ** 20));
    // The gateway answers while the client still sends; some clients see the answer and some the broken connection.
    expect([504, undefined]).toContain(outcome.status);
    expect(outcome.record).toMatchObject({ 'http.response.status_code': 504, cause: 'idle_timeout' });
    expectAfter(outcome, shortMs);
    upstream.answer = (socket) => socket.write(small);
    await expectHealed(gateway, ask);
  });

  test('half-open, a host that takes no connection and refuses none: 504 at connectMs', async () => {
    const upstream = await startFullBacklog();
    const gateway = await gatewayTo(upstream.origin, { connectMs: shortMs });
    const ask = createClient(gateway);
    const outcome = await ask();
    expect(outcome).toMatchObject({ status: 504, broken: false, code: 'upstream_timeout' });
    expect(outcome.record).toMatchObject({ level: 'error', cause: 'connect_timeout' });
    expectAfter(outcome, shortMs);
    await upstream.takeUp();
    await expectHealed(gateway, ask);
    await upstream.end();
  });

  test('a name that is gone from the start, and back: 503 with Retry-After, then served', async () => {
    await using upstream = await startScripted((socket) => socket.write(small));
    const { port } = new URL(upstream.origin);
    let there = false;
    const resolve = async (): Promise<string[]> => {
      if (there) return ['127.0.0.1'];
      throw Object.assign(new Error('getaddrinfo ENOTFOUND'), { code: 'ENOTFOUND' });
    };
    const back = Promise.withResolvers<void>();
    const report = ({ event }: { event: string }): void => {
      if (event === 'resolved') back.resolve();
    };
    const gateway = await gatewayTo(`http://records.test:${port}`, {}, { upstreams: { resolve, report } });
    const ask = createClient(gateway);
    const outcome = await ask();
    expect(outcome).toMatchObject({ status: 503, broken: false, code: 'upstream_unavailable' });
    expect(Number(outcome.retryAfter)).toBeGreaterThan(0);
    expect(outcome.record).toMatchObject({ level: 'error', cause: 'unresolved' });
    expectAfter(outcome, 0);
    there = true;
    await back.promise;
    await expectHealed(gateway, ask);
  });

  describe('one of three dead', () => {
    const ejectMs = 1_000;
    const start = async (dead: string, timeouts: Partial<typeof long>) => {
      const alive = await Promise.all([1, 2].map(() => startScripted((socket) => socket.write(small))));
      const clock = { now: 0 };
      const addresses = [dead, ...alive.map(({ origin }) => origin)];
      const gateway = await startGateway({
        createTransport: transports[transport],
        upstreams: { now: () => clock.now },
        table: {
          upstreams: { u: { addresses, failures: 1, ejectMs } },
          routes: [{ path: '/a', upstream: 'u', access: 'public', timeouts: { ...long, ...timeouts } }],
        },
      });
      const ask = createClient(gateway);
      const askMore = async (count: number): Promise<Outcome[]> => {
        const outcomes: Outcome[] = [];
        while (outcomes.length < count) outcomes.push(await ask());
        return outcomes;
      };
      /** Which of the addresses answered, at once and without fail, sorted. */
      const answeredBy = async (count: number): Promise<number[]> => {
        const outcomes = await askMore(count);
        for (const outcome of outcomes) {
          expect(outcome).toMatchObject({ status: 200, broken: false });
          expectAfter(outcome, 0);
        }
        return outcomes
          .map(({ record }) => addresses.indexOf(String(record['upstream_address'])))
          .toSorted((a, b) => a - b);
      };
      return {
        askMore,
        async expectHealed() {
          expect(new Set(await answeredBy(6))).toEqual(new Set([1, 2]));
          clock.now += ejectMs;
          expect(await answeredBy(6)).toEqual([0, 0, 1, 1, 2, 2]);
          const { endpoints } = gateway.table.upstreams.get('u')?.state() ?? {};
          expect(endpoints?.map(({ state }) => state)).toEqual(['available', 'available', 'available']);
        },
        async [Symbol.asyncDispose]() {
          for (const upstream of alive) await upstream.stop();
        },
      };
    };

    test.each<[string, string, ScriptedServer['answer']]>([
      ['refuses', 'connect', () => undefined],
      ['resets', 'reset', (socket) => socket.resetAndDestroy()],
    ])('it %s: each request is answered at once, by the others', async (_, cause, answer) => {
      await using upstream = await startScripted(answer);
      await using started = await start(upstream.origin, {});
      if (cause === 'connect') await upstream.stop();
      const outcomes = await started.askMore(3);
      for (const outcome of outcomes) {
        expect(outcome).toMatchObject({ status: 200, broken: false });
        expectAfter(outcome, 0);
      }
      const retried = outcomes.filter(({ record }) => record['attempts'] !== undefined);
      expect(retried).toMatchObject([{ record: { attempts: 2, retried_after: cause } }]);
      upstream.answer = (socket) => socket.write(small);
      if (cause === 'connect') await upstream.restart();
      await started.expectHealed();
    });

    test('it takes no connection: one request is answered after connectMs, the others at once', async () => {
      const upstream = await startFullBacklog();
      await using started = await start(upstream.origin, { connectMs: shortMs });
      const outcomes = await started.askMore(3);
      expect(outcomes.map(({ status }) => status)).toEqual([200, 200, 200]);
      const retried = outcomes.filter(({ record }) => record['attempts'] !== undefined);
      expect(retried).toMatchObject([{ record: { attempts: 2, retried_after: 'connect_timeout' } }]);
      for (const outcome of outcomes) expectAfter(outcome, retried.includes(outcome) ? shortMs : 0);
      await upstream.takeUp();
      await started.expectHealed();
      await upstream.end();
    });

    test('it says nothing: one request is 504 at headMs, the others are answered at once', async () => {
      await using upstream = await startScripted(() => undefined);
      await using started = await start(upstream.origin, { headMs: shortMs });
      const outcomes = await started.askMore(3);
      expect(outcomes.map(({ status }) => status).toSorted((a, b) => Number(a) - Number(b))).toEqual([
        200, 200, 504,
      ]);
      for (const outcome of outcomes) expectAfter(outcome, outcome.status === 504 ? shortMs : 0);
      expect(outcomes.find(({ status }) => status === 504)?.record).toMatchObject({
        cause: 'head_timeout',
        upstream_address: upstream.origin,
      });
      upstream.answer = (socket) => socket.write(small);
      await started.expectHealed();
    });
  });
});

/** A server that is stopped, with its queue of connections full: the system drops what comes on top. */
const startFullBacklog = async () => {
  const program = `const server = require('node:http').createServer((_, response) => response.end('ok'));
    server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => console.log(server.address().port));`;
  const child = spawn(process.execPath, ['--eval', program]);
  const [port] = (await once(child.stdout, 'data')) as [Buffer];
  child.kill('SIGSTOP');
  const waiting = Array.from({ length: 2 }, () => connect(Number(port), '127.0.0.1'));
  await Promise.all(waiting.map((socket) => once(socket, 'connect')));
  return {
    origin: `http://127.0.0.1:${Number(port)}`,
    /** Resolves once there is room in the queue. */
    async takeUp() {
      child.kill('SIGCONT');
      for (const socket of waiting)
        socket.end('GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n').resume();
      await Promise.all(waiting.map((socket) => once(socket, 'close')));
    },
    async end() {
      child.kill('SIGKILL');
      await once(child, 'close');
    },
  };
};
