import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { Readable } from 'node:stream';
import { expect, test } from '@jest/globals';
import { createHttp1Transport } from '../../src/transport/http1-transport.ts';
import type { Exchange, Transport } from '../../src/transport/transport.ts';
import { createUndiciTransport } from '../../src/transport/undici-transport.ts';
import { get, RecordingSink, timeouts } from './recording-sink.ts';
import { turns } from './scripted-upstream.ts';

const small = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

/** What an upstream may do with a request; good answers more often than others. */
const answers: ((socket: Socket) => void)[] = [
  (socket) => socket.write(small),
  (socket) => socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n'),
  (socket) => socket.end('HTTP/1.1 200 OK\r\n\r\nok'),
  (socket) => socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n${'a'.repeat(200_000)}`),
  (socket) => setImmediate(() => socket.write(small)),
  (socket) => socket.write(small),
  (socket) => socket.write('garbage'),
  (socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel'),
  (socket) => socket.write(`${small}${small}`),
  (socket) => socket.resetAndDestroy(),
  (socket) => socket.end(),
];

/** What a client may do meanwhile; mostly nothing. */
const interferences: ((exchange: Exchange, sink: RecordingSink, gone: () => void) => void)[] = [
  () => {},
  (exchange, _, gone) => {
    exchange.abort();
    gone();
  },
  () => {},
  (exchange, sink) => {
    sink.takesMore = false;
    void takeLater(exchange, sink);
  },
  (exchange, _, gone) =>
    setImmediate(() => {
      exchange.abort();
      gone();
    }),
  (exchange, sink, gone) => {
    sink.onHead = () => {
      exchange.abort();
      gone();
    };
  },
  () => {},
];

const takeLater = async (exchange: Exchange, sink: RecordingSink): Promise<void> => {
  await sink.firstData.promise;
  await turns(1);
  sink.takesMore = true;
  exchange.resume();
};

const bodies = [null, Buffer.alloc(100), Buffer.alloc(40_000)];

const exchangeOf = async (transport: Transport, index: number): Promise<RecordingSink> => {
  const sink = new RecordingSink();
  const { promise: aborted, resolve: gone } = Promise.withResolvers<void>();
  const body = index % 4 === 3 ? Readable.from(['one', 'two']) : (bodies[index % 4] ?? null);
  const exchange = transport.send({ ...get, method: body ? 'POST' : 'GET', body }, sink, timeouts);
  interferences[index % interferences.length]?.(exchange, sink, gone);
  await Promise.race([sink.over, aborted]);
  return sink;
};

test.each([
  ['undici', createUndiciTransport],
  ['own client', createHttp1Transport],
])('%s: thousands of exchanges that go wrong in every way leave nothing behind', async (_, create) => {
  let requestCount = 0;
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', () => answers[(requestCount += 1) % answers.length]?.(socket));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const transport = create(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);

  let index = 0;
  let wrong = 0;
  const outcomes = new Set<string | undefined>();
  const work = async (): Promise<void> => {
    while (index < 4000) {
      const sink = await exchangeOf(transport, (index += 1));
      wrong += sink.wrong;
      outcomes.add(sink.error?.kind);
    }
  };
  await Promise.all(Array.from({ length: 32 }, work));
  expect(wrong).toBe(0);
  expect(outcomes).toEqual(new Set(['protocol', 'reset', undefined]));
  expect(transport.stats.inFlight).toBe(0);
  await transport.close();
  expect(transport.stats).toEqual({ open: 0, idle: 0, inFlight: 0 });
  // Comes when no connection is left.
  server.close();
  await once(server, 'close');
});
