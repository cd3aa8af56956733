import { Readable } from 'node:stream';
import { describe, expect, test } from '@jest/globals';
import { createHttp1Transport } from '../../src/transport/http1-transport.ts';
import { get, ManualClock, RecordingSink, timeouts } from './recording-sink.ts';
import { startUpstream, turns } from './scripted-upstream.ts';

describe('idle connections of our own client', () => {
  test.each([
    ['4 s by default', '', 4000],
    ['a second less than the upstream says', 'Keep-Alive: timeout=11, max=100\r\n', 10_000],
    ['no longer than the longest', 'Keep-Alive: timeout=3600\r\n', 60_000],
  ])('are kept %s', async (_, field, keptMs) => {
    await using upstream = await startUpstream();
    const clock = new ManualClock();
    const transport = createHttp1Transport(upstream.origin, { clock });
    const sink = new RecordingSink();
    transport.send(get, sink, timeouts);
    const connection = await upstream.accept();
    await connection.request();
    connection.write(`HTTP/1.1 204 No Content\r\n${field}\r\n`);
    await sink.over;
    clock.advance(keptMs - 1);
    expect(transport.stats).toEqual({ open: 1, idle: 1, inFlight: 0 });
    clock.advance(1);
    expect(transport.stats).toEqual({ open: 0, idle: 0, inFlight: 0 });
    await connection.closed;
    await transport.close();
  });

  test('that are too old are not used, even before the sweep', async () => {
    await using upstream = await startUpstream();
    const clock = new ManualClock();
    const transport = createHttp1Transport(upstream.origin, { clock });
    const sink = new RecordingSink();
    transport.send(get, sink, timeouts);
    const connection = await upstream.accept();
    await connection.request();
    connection.write('HTTP/1.1 204 No Content\r\n\r\n');
    await sink.over;
    clock.pass(4000);
    const exchange = transport.send(get, new RecordingSink(), timeouts);
    await connection.closed;
    await upstream.accept();
    exchange.abort();
    await transport.close();
    expect(upstream.connections).toHaveLength(2);
  });

  test('that say something in the turn in which a request comes are not believed to answer it', async () => {
    await using upstream = await startUpstream();
    const transport = createHttp1Transport(upstream.origin);
    const first = new RecordingSink();
    transport.send(get, first, timeouts);
    const connection = await upstream.accept();
    await connection.request();
    connection.write('HTTP/1.1 204 No Content\r\n\r\n');
    await first.over;
    // From here the event loop reads before it comes to the end of the next turn.
    await turns(1);
    connection.write('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen');
    const second = new RecordingSink();
    transport.send(get, second, timeouts);
    await second.over;
    await connection.closed;
    await transport.close();
    expect(second.outcome).toBe('reset');
    expect(connection.received.toString('latin1').match(/GET/g)).toHaveLength(1);
  });

  test.each(['https://a.test', 'ftp://a.test'])('%s is not for it', (origin) => {
    expect(() => createHttp1Transport(origin)).toThrow(TypeError);
  });
});

describe('the chunks of a streamed body, when they are the transport’s', () => {
  const send = async (body: Buffer | Readable, contentLength: number): Promise<void> => {
    await using upstream = await startUpstream();
    const transport = createHttp1Transport(upstream.origin);
    const sink = new RecordingSink();
    transport.send({ ...get, method: 'POST', body, contentLength, ownsChunks: true }, sink, timeouts);
    const connection = await upstream.accept();
    await connection.request();
    await connection.body('end');
    connection.write('HTTP/1.1 204 No Content\r\n\r\n');
    await sink.over;
    await transport.close();
  };
  const chunkOf = (bytes: number): Buffer => Buffer.from(new ArrayBuffer(bytes)).fill('a');

  test('are freed once they are written', async () => {
    const chunk = chunkOf(64 * 1024);
    await send(Readable.from([chunk, Buffer.from('end')]), chunk.length + 3);
    expect(chunk).toHaveLength(0);
  });

  test('are left alone where they share their memory', async () => {
    const whole = chunkOf(64 * 1024);
    await send(Readable.from([whole.subarray(1), Buffer.from('end')]), whole.length + 2);
    expect(whole).toHaveLength(64 * 1024);
  });

  test('a body that is there as a whole is kept: it may be sent again', async () => {
    const body = chunkOf(64 * 1024);
    body.write('end', body.length - 3);
    await send(body, body.length);
    expect(body.toString('latin1', body.length - 4)).toBe('aend');
  });
});
