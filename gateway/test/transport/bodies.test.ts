import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { PassThrough, Readable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { createHttp1Transport } from '../../src/transport/http1-transport.ts';
import type { Exchange, Transport, UpstreamRequest } from '../../src/transport/transport.ts';
import { createUndiciTransport } from '../../src/transport/undici-transport.ts';
import { get, ManualClock, RecordingSink, timeouts } from './recording-sink.ts';
import { type ScriptedUpstream, settled, startUpstream, turns } from './scripted-upstream.ts';

const nothing = { open: 0, idle: 0, inFlight: 0 };
const small = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
const megabyte = 1024 * 1024;
// What the two kernels' socket buffers may hold, generously, and our own part.
const boundedBytes = 16 * megabyte;

describe.each([
  ['undici', createUndiciTransport],
  ['own client', createHttp1Transport],
])('%s', (_name, create) => {
  let upstream: ScriptedUpstream;
  let transport: Transport;
  let clock: ManualClock;
  let sink: RecordingSink;

  beforeEach(async () => {
    upstream = await startUpstream();
    clock = new ManualClock();
    sink = new RecordingSink();
    transport = create(upstream.origin, { clock });
  });

  afterEach(async () => {
    await upstream[Symbol.asyncDispose]();
    await transport.close();
    if (sink.wrong > 0) throw new Error('a sink heard what it must not hear');
  });

  const post = (request: Partial<UpstreamRequest>): Exchange =>
    transport.send({ ...get, method: 'POST', ...request }, sink, timeouts);

  test('a stream of unknown length goes in chunks', async () => {
    post({ body: Readable.from(['hello', '', ', upstream']) });
    const connection = await upstream.accept();
    await expect(connection.request()).resolves.toMatch(/^transfer-encoding: chunked$/im);
    await expect(connection.body('\r\n0\r\n\r\n')).resolves.toBe(
      '5\r\nhello\r\na\r\n, upstream\r\n0\r\n\r\n',
    );
    connection.write(small);
    await sink.over;
    expect(sink.outcome).toBe('200 ok');
    expect(transport.stats).toEqual({ open: 1, idle: 1, inFlight: 0 });
  });

  test('a stream of known length goes as it is', async () => {
    post({ body: Readable.from(['hello', 'upstream']), contentLength: 13 });
    const connection = await upstream.accept();
    await expect(connection.request()).resolves.toMatch(/^content-length: 13$/im);
    await expect(connection.body('upstream')).resolves.toBe('helloupstream');
    connection.write(small);
    await sink.over;
    expect(sink.outcome).toBe('200 ok');
  });

  test('no body is said where one is expected', async () => {
    post({ body: null });
    const connection = await upstream.accept();
    await expect(connection.request()).resolves.toMatch(/^content-length: 0$/im);
    connection.write(small);
    await sink.over;
  });

  test.each([
    ['shorter', ['hello'], 6],
    ['longer', ['hello', 'upstream'], 6],
  ])('a stream %s than announced breaks the request', async (_, parts, contentLength) => {
    post({ body: Readable.from(parts), contentLength });
    const connection = await upstream.accept();
    await sink.over;
    expect(sink.error).toMatchObject({ kind: 'body' });
    await connection.closed;
    expect(connection.received.toString('latin1')).not.toContain('upstream');
    expect(transport.stats).toEqual(nothing);
  });

  test('a stream that breaks off breaks the request', async () => {
    const body = new PassThrough();
    post({ body });
    const connection = await upstream.accept();
    body.write('hello');
    await connection.body('hello');
    body.destroy();
    await sink.over;
    expect(sink.error?.kind).toBe('body');
    await connection.closed;
    expect(connection.received.toString('latin1')).not.toContain('0\r\n\r\n');
    expect(transport.stats).toEqual(nothing);
  });

  test('a response before the end of the request is passed on, and the stream left alone', async () => {
    const body = new PassThrough();
    post({ body });
    const connection = await upstream.accept();
    body.write('hello');
    await connection.body('hello');
    connection.write('HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n');
    await sink.over;
    expect(sink.outcome).toBe('413 ');
    await connection.closed;
    expect(transport.stats).toEqual(nothing);
    await turns(3);
    expect(body.destroyed).toBe(false);
    expect(body.listenerCount('data') + body.listenerCount('close')).toBe(0);
  });

  test('abort leaves the stream alone', async () => {
    const body = new PassThrough();
    const exchange = post({ body });
    const connection = await upstream.accept();
    body.write('hello');
    await connection.body('hello');
    exchange.abort();
    expect(transport.stats).toEqual(nothing);
    await connection.closed;
    await turns(3);
    expect(body.destroyed).toBe(false);
    expect(sink.error).toBeUndefined();
  });

  test('a stream that stalls runs into the idle timeout, and the head timeout begins after it', async () => {
    const body = new PassThrough();
    post({ body });
    const connection = await upstream.accept();
    for (const part of ['one', 'two']) {
      body.write(part);
      await connection.body(part);
      clock.advance(timeouts.idleMs);
      expect(sink.error).toBeUndefined();
    }
    clock.advance(1);
    await sink.over;
    expect(sink.error).toMatchObject({ kind: 'body', headReceived: false });
    expect(body.destroyed).toBe(false);
    expect(transport.stats).toEqual(nothing);
  });

  test('what the stream brings stays what it was', async () => {
    const chunk = Buffer.from(new ArrayBuffer(64 * 1024)).fill('a');
    post({ body: Readable.from([chunk]), contentLength: chunk.length });
    const connection = await upstream.accept();
    await connection.request();
    await connection.body('a'.repeat(64 * 1024));
    connection.write(small);
    await sink.over;
    expect(String(chunk)).toBe('a'.repeat(64 * 1024));
  });

  test('an upstream that takes no more of a stream runs into the idle timeout', async () => {
    const { body, pulled } = streamOf64Megabytes();
    post({ body, contentLength: 64 * megabyte });
    const connection = await upstream.accept();
    await connection.request();
    connection.socket.pause();
    await settled(pulled);
    clock.advance(timeouts.idleMs + 1);
    await sink.over;
    expect(sink.error).toMatchObject({ kind: 'idle_timeout', headReceived: false });
  });

  test('a stream is not read faster than the upstream reads', async () => {
    const { body, pulled } = streamOf64Megabytes();
    post({ body, contentLength: 64 * megabyte });
    const connection = await upstream.accept();
    const head = await connection.request();
    connection.socket.pause();
    await settled(pulled);
    expect(pulled()).toBeLessThan(boundedBytes);

    let receivedBytes = connection.received.length - head.length - 4;
    connection.socket.removeAllListeners('data').on('data', (chunk: Buffer) => {
      receivedBytes += chunk.length;
      if (receivedBytes === 64 * megabyte) connection.write(small);
    });
    connection.socket.resume();
    await sink.over;
    expect(sink.outcome).toBe('200 ok');
  });

  test('a response is not read faster than the sink takes it', async () => {
    sink.takesMore = false;
    const exchange = transport.send(get, sink, timeouts);
    const connection = await upstream.accept();
    await connection.request();
    let writtenBytes = 0;
    const piece = Buffer.alloc(64 * 1024, 'a');
    const source = new Readable({
      read() {
        writtenBytes += piece.length;
        this.push(writtenBytes <= 64 * megabyte ? piece : null);
      },
    });
    connection.write(`HTTP/1.1 200 OK\r\nContent-Length: ${64 * megabyte}\r\n\r\n`);
    source.pipe(connection.socket, { end: false });
    await sink.firstData.promise;
    await settled(() => writtenBytes);
    expect(sink.chunks).toHaveLength(1);
    expect(writtenBytes).toBeLessThan(boundedBytes);

    exchange.resume();
    await settled(() => sink.chunks.length);
    expect(sink.chunks).toHaveLength(2);
    sink.takesMore = true;
    exchange.resume();
    await sink.over;
    expect(sink.bytes).toBe(64 * megabyte);
  });

  test.each([
    ['a buffer', (bytes: Buffer) => bytes],
    ['a stream', (bytes: Buffer) => Readable.from(pieces(bytes))],
  ])('10 MB there and back, from %s', async (_, toBody) => {
    const server = createServer((request, response) => request.pipe(response)).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const echo = create(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, { clock });
    const bytes = Buffer.alloc(10 * megabyte, 'abcdefghijklmnopqrstuvwxyz\r\n');
    echo.send({ ...get, method: 'PUT', body: toBody(bytes) }, sink, timeouts);
    await sink.over;
    expect(sink.bytes).toBe(bytes.length);
    expect(Buffer.concat(sink.chunks).equals(bytes)).toBe(true);
    await echo.close();
    expect(echo.stats).toEqual(nothing);
    server.close();
  });
});

/** And how many bytes were asked of it. */
const streamOf64Megabytes = (): { body: Readable; pulled: () => number } => {
  let pulledBytes = 0;
  const body = new Readable({
    read() {
      pulledBytes += 64 * 1024;
      this.push(pulledBytes <= 64 * megabyte ? Buffer.alloc(64 * 1024) : null);
    },
  });
  return { body, pulled: () => pulledBytes };
};

const pieces = function* (bytes: Buffer): Generator<Buffer> {
  for (let start = 0; start < bytes.length; start += 50_000) yield bytes.subarray(start, start + 50_000);
};
