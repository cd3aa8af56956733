import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterEach, describe, expect, test } from '@jest/globals';
import { createHttp1Transport } from '../src/transport/http1-transport.ts';
import { createUndiciTransport } from '../src/transport/undici-transport.ts';
import { type ScriptedServer, small, startScripted } from './scripted-server.ts';
import { startGateway, stopAll } from './start-gateway.ts';

afterEach(stopAll);

const openTo = async (url: string, head: string): Promise<Socket> => {
  const socket = connect(Number(new URL(url).port), '127.0.0.1').pause();
  socket.on('error', () => undefined);
  socket.write(`POST /a HTTP/1.1\r\nHost: x\r\n${head}\r\n\r\n`);
  await once(socket, 'connect');
  return socket;
};

const write = (socket: Socket, text: string): Promise<void> =>
  new Promise((resolve) => socket.write(text, () => resolve()));

/** What comes until it matches, or until nothing comes any more. */
const readUntil = (socket: Socket, pattern: RegExp): Promise<string> =>
  new Promise((resolve) => {
    let text = '';
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
      if (pattern.test(text)) resolve(text);
    });
    if (socket.closed) resolve(text);
    else socket.once('close', () => resolve(text)).resume();
  });

const piece = 'x'.repeat(20_000);
const chunk = `${piece.length.toString(16)}\r\n${piece}\r\n`;

describe.each([
  ['http1', createHttp1Transport],
  ['undici', createUndiciTransport],
])('over %s', (_, createTransport) => {
  const start = (upstream: ScriptedServer, route: object = {}) =>
    startGateway({
      createTransport: (origin) => createTransport(origin),
      table: {
        upstreams: { u: { addresses: [upstream.origin] } },
        routes: [{ path: '/a', upstream: 'u', access: 'public', ...route }],
      },
    });

  test.each([
    ['chunked', 'Transfer-Encoding: chunked', '5\r\nabcde\r\n', '0\r\n\r\n'],
    ['announced', 'Content-Length: 50', 'abcde', ''],
  ])('a body that is too long, %s, in pieces: 413, then the next request', async (_name, head, part, end) => {
    await using upstream = await startScripted((socket) => socket.write(small));
    const { url } = await start(upstream, { maxBodyBytes: 10 });
    const socket = await openTo(url, head);
    for (let count = 0; count < 10; count += 1) {
      await write(socket, part);
      // Each piece is seen by itself.
      await new Promise((resolve) => setImmediate(resolve));
    }
    await write(socket, `${end}GET /a HTTP/1.1\r\nHost: x\r\n\r\n`);
    const text = await readUntil(socket, /ok$/);
    socket.destroy();
    expect(text.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 413', 'HTTP/1.1 200']);
    expect(text).toContain('payload_too_large');
  });

  test.each([
    ['chunked', 'Transfer-Encoding: chunked', chunk],
    ['announced', 'Content-Length: 1000000', piece],
  ])(
    'an answer before the end of a body, %s, reaches a client that sends first and reads then',
    async (_name, head, part) => {
      await using upstream = await startScripted((socket) =>
        socket.end('HTTP/1.1 409 Conflict\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno'),
      );
      const { url } = await start(upstream);
      const statuses: string[] = [];
      for (let round = 0; round < 10; round += 1) {
        const socket = await openTo(url, head);
        for (let count = 0; count < 50; count += 1) await write(socket, part);
        statuses.push((await readUntil(socket, /no$/)).slice(9, 12));
        socket.destroy();
      }
      // Whether the answer or the reset after it comes first is up to the upstream's system.
      expect(statuses.filter((status) => status !== '409' && status !== '502')).toEqual([]);
    },
  );

  test('a client that goes on sending what nobody wants is cut off', async () => {
    await using upstream = await startScripted((socket) => socket.write(small));
    const { url } = await start(upstream, { maxBodyBytes: 10 });
    const socket = await openTo(url, 'Transfer-Encoding: chunked');
    const closed = new Promise((resolve) => socket.once('close', resolve));
    const pour = (): void => {
      while (!socket.destroyed && socket.write(chunk));
    };
    socket.on('drain', pour);
    pour();
    await closed;
    expect(socket.bytesWritten).toBeGreaterThan(16 * 2 ** 20);
  });
});

test('a client that stops within what nobody wants is cut off after ten seconds', async () => {
  await using upstream = await startScripted((socket) => socket.write(small));
  const { url } = await startGateway({
    clientIdleMs: 3_600_000,
    table: {
      upstreams: { u: { addresses: [upstream.origin] } },
      routes: [{ path: '/a', upstream: 'u', access: 'public', maxBodyBytes: 10 }],
    },
  });
  const socket = await openTo(url, 'Content-Length: 50');
  const closed = new Promise((resolve) => socket.once('close', resolve));
  expect(await readUntil(socket, /\r\n\r\n\{.*\}/)).toContain('413');
  await closed;
}, 15_000);
