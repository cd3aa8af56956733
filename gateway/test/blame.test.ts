import { once } from 'node:events';
import { createServer } from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { afterEach, describe, expect, test } from '@jest/globals';
import { createHttp1Transport } from '../src/transport/http1-transport.ts';
import { createUndiciTransport } from '../src/transport/undici-transport.ts';
import { type ScriptedServer, small, startScripted } from './scripted-server.ts';
import { settled } from './transport/scripted-upstream.ts';
import {
  type GatewaySettings,
  listenOn,
  startGateway,
  stopAll,
  type TestGateway,
  whenTrue,
} from './start-gateway.ts';

afterEach(stopAll);

/** One more than leave an address out. */
const clients = 6;

const start = (origin: string, route: object = {}, settings: Partial<GatewaySettings> = {}) =>
  startGateway({
    table: {
      upstreams: { u: { addresses: [origin] } },
      routes: [{ path: '/a', upstream: 'u', access: 'public', retries: 0, ...route }],
    },
    ...settings,
  });

const stateOf = ({ table }: TestGateway) => table.upstreams.get('u')?.state();

const expectBlameless = (gateway: TestGateway): void =>
  expect(stateOf(gateway)).toMatchObject({
    inFlight: 0,
    endpoints: [{ state: 'available', failuresInARow: 0 }],
  });

interface Client {
  socket: Socket;
  /** What has come. */
  text: () => string;
}

const send = ({ url }: TestGateway, bytes: string | Buffer): Client => {
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  let text = '';
  socket.on('error', () => undefined);
  socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
  socket.write(bytes);
  return { socket, text: () => text };
};

const sendAll = (gateway: TestGateway, bytes: string | Buffer): Client[] =>
  Array.from({ length: clients }, () => send(gateway, bytes));

const closeAll = (all: readonly Client[]): void => {
  for (const { socket } of all) socket.destroy();
};

/** Of the whole exchange, where a client uses up most of it. In milliseconds. */
const totalMs = 2_000;

/** Resolves once a request that has 0.6 of `totalMs`, sent now, was told that its time is over. */
const moreThanHalfOver = async (upstream: string): Promise<void> => {
  const gateway = await start(upstream, { timeouts: { totalMs: 0.6 * totalMs } });
  const { socket, text } = send(gateway, `${post(100_000)}x`);
  await whenTrue(() => text() !== '');
  expect(text()).toMatch(/^HTTP\/1.1 408 /);
  socket.destroy();
};

const post = (length: number): string => `POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: ${length}\r\n\r\n`;

describe.each([
  ['http1', createHttp1Transport],
  ['undici', createUndiciTransport],
])('over %s, an upstream is not left out', (_, createTransport) => {
  const settings = { createTransport };

  test('that answers a body before its end and closes: the answer arrives', async () => {
    const server = createServer((_request, response) =>
      response.writeHead(413, { connection: 'close' }).end('too much'),
    );
    const gateway = await start(await listenOn(server), {}, settings);
    for (let count = 0; count < clients; count += 1) {
      const { socket, text } = send(gateway, post(5_000_000));
      socket.write(Buffer.alloc(5_000_000, 'x'));
      await whenTrue(() => text().includes('too much'));
      expect(text()).toMatch(/^HTTP\/1.1 413 /);
      socket.destroy();
    }
    await whenTrue(() => stateOf(gateway)?.inFlight === 0);
    expectBlameless(gateway);
  });

  test('by clients that let totalMs pass with half a body: 408', async () => {
    await using upstream = await startScripted(() => undefined);
    const gateway = await start(upstream.origin, { timeouts: { totalMs: 300 } }, settings);
    const all = sendAll(gateway, `${post(100_000)}x`);
    await whenTrue(() => all.every(({ text }) => text().includes('request_timeout')));
    for (const { text } of all) expect(text()).toMatch(/^HTTP\/1.1 408 /);
    closeAll(all);
    await whenTrue(() => stateOf(gateway)?.inFlight === 0);
    expectBlameless(gateway);
  });

  test('whose turn came when totalMs was nearly used up by a body that trickled', async () => {
    await using upstream = await startScripted(() => undefined);
    const gateway = await start(upstream.origin, { timeouts: { totalMs } }, settings);
    const all = sendAll(gateway, `${post(20_000)}${'x'.repeat(19_999)}`);
    await moreThanHalfOver(upstream.origin);
    for (const { socket } of all) socket.write('y');
    await whenTrue(() => all.every(({ text }) => text().includes('upstream_timeout')));
    closeAll(all);
    await whenTrue(() => stateOf(gateway)?.inFlight === 0);
    expectBlameless(gateway);
    // And the one by which the time was told.
    expect(upstream.heads).toHaveLength(clients + 1);
  });

  test('but for its own doing: it takes no more of a body, and hangs up', async () => {
    await using upstream = await startScripted((socket) => {
      socket.pause();
      setTimeout(() => socket.resetAndDestroy(), 300);
    });
    const gateway = await start(upstream.origin, { maxBodyBytes: 2 ** 30 }, settings);
    const all = sendAll(gateway, Buffer.concat([Buffer.from(post(30_000_000)), Buffer.alloc(30_000_000)]));
    await whenTrue(() => stateOf(gateway)?.breaker === 'open');
    closeAll(all);
    expect(stateOf(gateway)?.endpoints).toMatchObject([{ lastFailure: 'reset' }]);
  });

  test('that hangs up on clients that stall within their body', async () => {
    await using upstream = await startScripted((socket, head) => {
      const hangUp = (): void => void socket.destroy();
      if (head.endsWith('x')) hangUp();
      else socket.once('data', hangUp);
    });
    const gateway = await start(upstream.origin, {}, settings);
    const all = sendAll(gateway, `${post(100_000)}x`);
    await whenTrue(() => all.every(({ text }) => text() !== ''));
    for (const { text } of all) expect(text()).toMatch(/^HTTP\/1.1 502 /);
    closeAll(all);
    await whenTrue(() => stateOf(gateway)?.inFlight === 0);
    expectBlameless(gateway);
  });

  test('that hangs up on clients that stopped reading', async () => {
    const poured: Socket[] = [];
    await using upstream = await startScripted((socket) => {
      poured.push(socket);
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n');
      socket.write(Buffer.alloc(30_000_000));
    });
    const gateway = await start(upstream.origin, {}, settings);
    const all = sendAll(gateway, 'GET /a HTTP/1.1\r\nHost: x\r\n\r\n');
    for (const { socket } of all) socket.pause();
    await whenTrue(() => poured.length === clients);
    const left = (): number => poured.reduce((sum, socket) => sum + socket.writableLength, 0);
    await settled(left);
    expect(left()).toBeGreaterThan(0);
    for (const socket of poured) socket.resetAndDestroy();
    for (const { socket } of all) socket.resume();
    await Promise.all(
      all.map(
        ({ socket }) =>
          new Promise((resolve) => (socket.closed ? resolve(1) : socket.once('close', resolve))),
      ),
    );
    await whenTrue(() => stateOf(gateway)?.inFlight === 0);
    expectBlameless(gateway);
  });
});

test('an upstream that is slow within totalMs of its own is', async () => {
  await using upstream = await startScripted(() => undefined);
  const gateway = await start(upstream.origin, { timeouts: { totalMs: 300 } });
  const statuses = await Promise.all(
    Array.from({ length: clients }, async () => (await fetch(`${gateway.url}/a`)).status),
  );
  expect(statuses).toEqual(Array(clients).fill(504));
  expect(stateOf(gateway)).toMatchObject({ breaker: 'open' });
});

test('an upstream that is given the last of totalMs by a small body that trickled is not', async () => {
  await using upstream = await startScripted(() => undefined);
  const gateway = await start(upstream.origin, { timeouts: { totalMs } });
  const all = sendAll(gateway, `${post(2)}x`);
  await moreThanHalfOver(upstream.origin);
  for (const { socket } of all) socket.write('y');
  await whenTrue(() => all.every(({ text }) => text() !== ''));
  expect(upstream.heads.length).toBeGreaterThan(0);
  closeAll(all);
  await whenTrue(() => stateOf(gateway)?.inFlight === 0);
  expectBlameless(gateway);
});

describe('over HTTP/2', () => {
  const ask = async (upstream: ScriptedServer, head: Record<string, string>) => {
    const gateway = await start(upstream.origin, {}, { protocol: 'h2c' });
    const session = connectHttp2(gateway.url);
    const outcomes: Record<string, unknown>[] = [];
    for (let count = 0; count < clients; count += 1) {
      const stream = session.request({ ':path': '/a', ...head }, { endStream: true }).resume();
      outcomes.push(((await once(stream, 'response')) as [Record<string, unknown>])[0]);
      await once(stream, 'close');
    }
    session.destroy();
    return { gateway, outcomes };
  };

  test('codings in two lines go on as the list that they are', async () => {
    await using upstream = await startScripted((socket) =>
      socket.write(
        'HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Encoding: br\r\nContent-Length: 2\r\n\r\nok',
      ),
    );
    const { outcomes } = await ask(upstream, {});
    expect(outcomes).toEqual(
      Array(clients).fill(expect.objectContaining({ 'content-encoding': 'gzip, br' })),
    );
  });

  test.each([
    'X-Content-Type-Options: nosniff',
    'Date: Sun, 06 Nov 1994 08:49:37 GMT',
    'Content-Type: text/plain',
  ])('%s, twice, goes on once', async (field) => {
    await using upstream = await startScripted((socket) =>
      socket.write(`HTTP/1.1 200 OK\r\n${field}\r\n${field}\r\nContent-Length: 2\r\n\r\nok`),
    );
    const { gateway, outcomes } = await ask(upstream, {});
    const [name = '', value] = field.split(': ');
    expect(outcomes).toEqual(
      Array(clients).fill(expect.objectContaining({ ':status': 200, [name.toLowerCase()]: value })),
    );
    expectBlameless(gateway);
  });

  test('a status that it does not have is 502, and leaves nobody out', async () => {
    await using upstream = await startScripted((socket) =>
      socket.write('HTTP/1.1 600 Odd\r\nContent-Length: 2\r\n\r\nok'),
    );
    const { gateway, outcomes } = await ask(upstream, {});
    expect(outcomes).toEqual(Array(clients).fill(expect.objectContaining({ ':status': 502 })));
    expectBlameless(gateway);
  });

  test.each(['get', 'head', 'FOO', 'PRI', 'connect'])(
    'the method %s is 501, the upstream hears nothing',
    async (method) => {
      await using upstream = await startScripted((socket) => socket.write(small));
      const { outcomes } = await ask(upstream, { ':method': method });
      expect(outcomes).toEqual(Array(clients).fill(expect.objectContaining({ ':status': 501 })));
      expect(upstream.heads).toEqual([]);
    },
  );
});

test('what one address asks for at length leaves places to others', async () => {
  await using upstream = await startScripted(
    (socket, head) => void (head.startsWith('GET') && socket.write(small)),
  );
  const gateway = await startGateway({
    table: {
      upstreams: { u: { addresses: [upstream.origin], maxInFlight: 8, maxQueueMs: 50 } },
      routes: [{ path: '/a', upstream: 'u', access: 'public' }],
    },
  });
  const all = Array.from({ length: 8 }, () => send(gateway, `${post(100_000)}x`));
  await whenTrue(() => stateOf(gateway)?.inFlight === 4);
  await whenTrue(() => all.filter(({ text }) => text().startsWith('HTTP/1.1 503')).length === 4);
  expect(gateway.records.at(-1)).toMatchObject({ cause: 'queue_timeout' });
  const other = connect({
    port: Number(new URL(gateway.url).port),
    host: '127.0.0.1',
    localAddress: '127.0.0.2',
  });
  other.write('GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
  const [answer] = (await once(other, 'data')) as [Buffer];
  expect(String(answer)).toMatch(/^HTTP\/1.1 200 /);
  other.destroy();
  closeAll(all);
});

test.each([
  ['no route', 'POST /none HTTP/1.1', 404],
  ['a path that is refused', 'POST /a//b HTTP/1.1', 400],
  ['a body on GET', 'GET /a HTTP/1.1', 400],
  ['a method that the route does not take', 'PUT /a HTTP/1.1', 405],
  ['a probe', 'GET /healthz HTTP/1.1', 200],
])('%s: of a body that nobody wants 16 MiB are read, no more', async (_, line, status) => {
  await using upstream = await startScripted((socket) => socket.write(small));
  const gateway = await start(upstream.origin, { methods: ['GET', 'POST'] });
  const { socket, text } = send(gateway, `${line}\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n`);
  const piece = Buffer.alloc(2 ** 20);
  const pour = (): void => {
    while (!socket.destroyed && socket.write(piece));
  };
  socket.on('drain', pour);
  pour();
  await new Promise((resolve) => socket.once('close', resolve));
  expect(text()).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
  // And what the system's buffers hold.
  expect(socket.bytesWritten).toBeLessThan(64 * 2 ** 20);
});
