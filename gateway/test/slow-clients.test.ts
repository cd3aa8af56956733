import { once } from 'node:events';
import { connect as connectHttp2, constants } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, test } from '@jest/globals';
import { type GatewayProcess, runGateway } from './gateway-process.ts';
import { type ScriptedServer, small, startScripted } from './scripted-server.ts';
import { startGateway, stopAll } from './start-gateway.ts';

afterEach(stopAll);

const clientIdleMs = 1_000;
/** For a machine that is busy. */
const slackMs = 8_000;

const run = (upstream: ScriptedServer, transport: string): GatewayProcess =>
  runGateway(
    {
      upstreams: { u: { addresses: [upstream.origin] } },
      routes: [{ path: '/a', upstream: 'u', access: 'public' }],
    },
    { CLIENT_IDLE_MS: String(clientIdleMs), TRANSPORT: transport },
  );

const open = async (gateway: GatewayProcess, head: string): Promise<Socket> => {
  const socket = connect(Number(new URL(await gateway.url()).port), '127.0.0.1').pause();
  socket.on('error', () => undefined);
  socket.write(`${head}\r\nHost: x\r\n\r\n`);
  return socket;
};

/** Writes as fast as the other side takes it, so many bytes. */
const pour = (socket: Socket, bytes: number): void => {
  const chunk = Buffer.alloc(256 * 1024, 'x');
  let left = bytes;
  socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${bytes}\r\n\r\n`);
  const next = (): void => {
    while (left > 0) {
      const piece = chunk.subarray(0, Math.min(left, chunk.length));
      left -= piece.length;
      if (!socket.write(piece)) break;
    }
  };
  socket.on('drain', next);
  next();
};

const answerLate: ScriptedServer['answer'] = (socket) => {
  const answer = setTimeout(() => socket.write(small), 2.5 * clientIdleMs);
  socket.once('close', () => clearTimeout(answer));
};

describe.each(['http1', 'undici'])('over %s', (transport) => {
  test('a client that stops reading is cut off after CLIENT_IDLE_MS, and the upstream is freed', async () => {
    const freed = Promise.withResolvers<void>();
    await using upstream = await startScripted((socket) => {
      socket.once('close', freed.resolve);
      pour(socket, 2 ** 30);
    });
    await using gateway = run(upstream, transport);
    const client = await open(gateway, 'GET /a HTTP/1.1');
    await once(client, 'connect');
    const startMs = performance.now();
    await freed.promise;
    const afterMs = performance.now() - startMs;
    expect(afterMs).toBeGreaterThanOrEqual(clientIdleMs);
    expect(afterMs).toBeLessThan(clientIdleMs + slackMs);
    expect(await gateway.logged('request aborted')).toMatchObject({ aborted: true });
    client.destroy();
    upstream.answer = (socket) => socket.write(small);
    expect((await fetch(`${await gateway.url()}/a`)).status).toBe(200);
  });

  test('a client that reads slowly, but reads, is not', async () => {
    const bytes = 16 * 2 ** 20;
    await using upstream = await startScripted((socket) => pour(socket, bytes));
    await using gateway = run(upstream, transport);
    const client = await open(gateway, 'GET /a HTTP/1.1');
    let received = 0;
    const startMs = performance.now();
    // 64 KiB at a time: that takes longer than a client may be silent, and is more than the system's buffers hold.
    while (received < bytes && !client.destroyed) {
      const chunk = (client.read() ?? Buffer.alloc(0)) as Buffer;
      received += chunk.length;
      await delay(10);
    }
    client.destroy();
    expect(received).toBeGreaterThanOrEqual(bytes);
    expect(performance.now() - startMs).toBeGreaterThan(clientIdleMs);
  });

  test('a client that waits for an answer is not silent: the time is the upstream’s', async () => {
    await using upstream = await startScripted(answerLate);
    await using gateway = run(upstream, transport);
    const url = await gateway.url();
    const body = 'x'.repeat(100_000);
    const post = { method: 'POST', body };
    const statuses = [fetch(`${url}/a`), fetch(`${url}/a`, post)].map(
      async (answer) => (await answer).status,
    );
    expect(await Promise.all(statuses)).toEqual([200, 200]);
  });

  test('a client that stops within its body is cut off, and the upstream is freed', async () => {
    const freed = Promise.withResolvers<void>();
    await using upstream = await startScripted((socket) => void socket.once('close', freed.resolve));
    await using gateway = run(upstream, transport);
    const client = await open(gateway, 'POST /a HTTP/1.1\r\nContent-Length: 1000000');
    client.write('x'.repeat(100_000));
    await freed.promise;
    await gateway.logged('request aborted');
    client.destroy();
    upstream.answer = (socket) => socket.write(small);
    expect((await fetch(`${await gateway.url()}/a`)).status).toBe(200);
  });
});

describe('over HTTP/2', () => {
  const keepAliveMs = 2 * clientIdleMs;

  const startFor = async (answer: ScriptedServer['answer']) => {
    const freed = Promise.withResolvers<void>();
    const upstream = await startScripted((socket, head) => {
      socket.once('close', freed.resolve);
      answer(socket, head);
    });
    const { url } = await startGateway({
      protocol: 'h2c',
      clientIdleMs,
      keepAliveMs,
      table: {
        upstreams: { u: { addresses: [upstream.origin] } },
        routes: [{ path: '/a', upstream: 'u', access: 'public' }],
      },
    });
    const session = connectHttp2(url);
    const close = async (): Promise<void> => {
      session.destroy();
      await upstream.stop();
    };
    return { session, freed: freed.promise, [Symbol.asyncDispose]: close };
  };

  test('a client that waits for an answer is not silent', async () => {
    await using gateway = await startFor(answerLate);
    const [head] = (await once(gateway.session.request({ ':path': '/a' }).resume(), 'response')) as [object];
    expect(head).toMatchObject({ ':status': 200 });
  });

  test.each([
    ['takes no answer', { ':path': '/a' }, true],
    ['stops within its body', { ':path': '/a', ':method': 'POST' }, false],
  ])('a stream that %s is reset, and the upstream freed; the session goes on', async (_, head, endStream) => {
    let count = 0;
    await using gateway = await startFor((socket) => {
      count += 1;
      if (count === 1 && endStream) pour(socket, 2 ** 30);
      else if (count > 1) socket.write(small);
    });
    const stream = gateway.session.request(head, { endStream });
    if (!endStream) stream.write('x'.repeat(50_000));
    stream.on('error', () => undefined).pause();
    const closed = new Promise((resolve) => stream.once('close', resolve));
    await gateway.freed;
    stream.resume();
    await closed;
    expect(stream.rstCode).toBe(constants.NGHTTP2_CANCEL);
    const next = gateway.session.request({ ':path': '/a' }).resume();
    expect(await once(next, 'response')).toMatchObject([
      { ':status': 200 },
      expect.anything(),
      expect.anything(),
    ]);
  });

  test('a session whose stream outlasts keepAliveMs is closed once that is over', async () => {
    const mayAnswer = Promise.withResolvers<void>();
    await using gateway = await startFor((socket) => void mayAnswer.promise.then(() => socket.write(small)));
    const stream = gateway.session.request({ ':path': '/a' }).resume();
    const closed = once(gateway.session, 'close');
    await delay(keepAliveMs + 200);
    mayAnswer.resolve();
    const [head] = (await once(stream, 'response')) as [object];
    expect(head).toMatchObject({ ':status': 200 });
    await closed;
  });

  test('a session without a stream is kept for keepAliveMs, not for a client’s idle time', async () => {
    await using gateway = await startFor((socket) => socket.write(small));
    const stream = gateway.session.request({ ':path': '/a' }).resume();
    await once(stream, 'close');
    const startMs = performance.now();
    await once(gateway.session, 'close');
    expect(performance.now() - startMs).toBeGreaterThan(keepAliveMs - 100);
  });
});

test('a small body that trickles longer than totalMs: 408, and the upstream hears nothing', async () => {
  await using upstream = await startScripted((socket) => socket.write(small));
  const timeouts = { totalMs: 400 };
  const { url } = await startGateway({
    table: {
      upstreams: { u: { addresses: [upstream.origin] } },
      routes: [{ path: '/a', upstream: 'u', access: 'public', timeouts }],
    },
  });
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  socket.on('error', () => undefined);
  socket.write('POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n');
  const drip = setInterval(() => socket.write('x'), 50);
  let text = '';
  socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
  await new Promise((resolve) => socket.once('close', resolve));
  clearInterval(drip);
  expect(text).toMatch(/^HTTP\/1\.1 408 /);
  expect(text).toContain('request_timeout');
  expect(upstream.heads).toEqual([]);
});

test.each([
  ['before the head: 504', '', 504],
  ['after it: cut off', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', 200],
])('an upstream that drips longer than totalMs, %s', async (_, head, status) => {
  const freed = Promise.withResolvers<void>();
  await using upstream = await startScripted((socket) => {
    socket.write(head);
    const drip = setInterval(
      () => socket.write(head === '' ? 'HTTP/1.1 103 Early Hints\r\n\r\n' : '1\r\nx\r\n'),
      50,
    );
    socket.once('close', () => {
      clearInterval(drip);
      freed.resolve();
    });
  });
  const timeouts = { headMs: 60_000, idleMs: 60_000, totalMs: 400 };
  const { url, records } = await startGateway({
    table: {
      upstreams: { u: { addresses: [upstream.origin] } },
      routes: [{ path: '/a', upstream: 'u', access: 'public', timeouts }],
    },
  });
  const startMs = performance.now();
  const response = await fetch(`${url}/a`);
  expect(response.status).toBe(status);
  const text = await response.text().catch(() => 'cut off');
  expect(text).toMatch(status === 504 ? /upstream_timeout/ : /^cut off$/);
  await freed.promise;
  const afterMs = performance.now() - startMs;
  expect(afterMs).toBeGreaterThanOrEqual(timeouts.totalMs - 1);
  expect(afterMs).toBeLessThan(timeouts.totalMs + slackMs);
  expect(records.find(({ cause }) => cause === 'total_timeout')).toBeDefined();
});
