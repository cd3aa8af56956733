import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { createHttp1Transport } from '../../src/transport/http1-transport.ts';
import type { Exchange, Transport, UpstreamRequest } from '../../src/transport/transport.ts';
import { createUndiciTransport } from '../../src/transport/undici-transport.ts';
import { badResponses, type FramingCase, goodResponses, strictlyBadResponses } from './framing-cases.ts';
import { get, ManualClock, RecordingSink, timeouts } from './recording-sink.ts';
import { type ScriptedUpstream, startUpstream, turns, type UpstreamConnection } from './scripted-upstream.ts';

const nothing = { open: 0, idle: 0, inFlight: 0 };
const okHead = 'HTTP/1.1 200 OK\r\n';
const small = `${okHead}Content-Length: 2\r\n\r\nok`;

describe.each([
  ['undici', createUndiciTransport],
  ['own client', createHttp1Transport],
])('%s', (name, create) => {
  let upstream: ScriptedUpstream;
  let transport: Transport;
  let clock: ManualClock;
  let sinks: RecordingSink[];

  beforeEach(async () => {
    upstream = await startUpstream();
    clock = new ManualClock();
    sinks = [];
    transport = create(upstream.origin, { clock });
  });

  afterEach(async () => {
    await upstream[Symbol.asyncDispose]();
    await transport.close();
    if (sinks.some(({ wrong }) => wrong > 0)) throw new Error('a sink heard what it must not hear');
  });

  const send = (request: Partial<UpstreamRequest> = {}): { sink: RecordingSink; exchange: Exchange } => {
    const sink = new RecordingSink();
    sinks.push(sink);
    return { sink, exchange: transport.send({ ...get, ...request }, sink, timeouts) };
  };

  const play = async (
    { bytes, method = 'GET', ends }: FramingCase,
    pieces = [Buffer.from(bytes, 'latin1')],
  ): Promise<RecordingSink> => {
    const { sink } = send({ method });
    const connection = await upstream.accept();
    await connection.request();
    await connection.writePieces(pieces);
    if (ends) connection.socket.end();
    await sink.over;
    return sink;
  };

  describe('framing', () => {
    test.each(goodResponses)('$name', async (response) => {
      const sink = await play(response);
      expect(sink.outcome).toBe(response.outcome);
      expect(sink.trailers).toEqual(response.trailers ?? []);
      expect(sink.headers).toEqual(response.headers ?? sink.headers);
      expect(sink.information.map(({ status }) => status)).toEqual(response.information ?? []);
      expect(transport.stats.inFlight).toBe(0);
    });

    test.each(goodResponses)('$name, cut at every byte', async (response) => {
      const bytes = Buffer.from(response.bytes, 'latin1');
      const single = Array.from(bytes, (_, index) => bytes.subarray(index, index + 1));
      const sink = await play(response, single);
      expect(sink.outcome).toBe(response.outcome);
      expect(sink.trailers).toEqual(response.trailers ?? []);
    });

    test.each(name === 'undici' ? badResponses : [...badResponses, ...strictlyBadResponses])(
      'refuses $name',
      async (response) => {
        const sink = await play(response);
        expect(sink.outcome).toBe('protocol');
        expect(transport.stats).toEqual(nothing);
      },
    );

    test.each([
      ['nothing', '', false],
      ['half a head', 'HTTP/1.1 200 OK\r\nContent-', false],
      ['half a body', `${okHead}Content-Length: 5\r\n\r\nhel`, true],
      ['half a chunk', `${okHead}Transfer-Encoding: chunked\r\n\r\n5\r\nhel`, true],
      ['no last chunk', `${okHead}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n`, true],
      [
        'half a chunk of a last response',
        `${okHead}Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel`,
        true,
      ],
    ])('an upstream that ends after %s', async (_, bytes, headReceived) => {
      const sink = await play({ name: '', bytes, ends: true, outcome: '' });
      expect(sink.error).toMatchObject({ kind: 'reset', headReceived });
      expect(transport.stats).toEqual(nothing);
    });

    test.each(['', 'HTTP/1.1 200', `${okHead}Content-Length: 5\r\n\r\nhel`])(
      'an upstream that resets after %j',
      async (bytes) => {
        const { sink } = send();
        const connection = await upstream.accept();
        await connection.request();
        await connection.writePieces([Buffer.from(bytes)]);
        connection.socket.resetAndDestroy();
        await sink.over;
        expect(sink.error?.kind).toBe('reset');
        expect(transport.stats).toEqual(nothing);
      },
    );

    test('too many 1xx responses', async () => {
      const sink = await play({
        name: '',
        bytes: 'HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(40),
        outcome: '',
      });
      expect(sink.outcome).toBe('protocol');
      expect(sink.information).toHaveLength(16);
    });
  });

  describe('connections', () => {
    const answer = async (
      connection: UpstreamConnection,
      bytes: string,
      { sink } = send(),
    ): Promise<string> => {
      await connection.request();
      connection.write(bytes);
      await sink.over;
      return sink.outcome;
    };

    test('are used again, the last one first', async () => {
      const first = send();
      const second = send();
      expect(transport.stats).toEqual({ open: 2, idle: 0, inFlight: 2 });
      const [a, b] = [await upstream.accept(), await upstream.accept()];
      await Promise.all([a.request(), b.request()]);
      a.write(small);
      await first.sink.over;
      b.write(small);
      await second.sink.over;
      expect(transport.stats).toEqual({ open: 2, idle: 2, inFlight: 0 });
      await expect(answer(b, small)).resolves.toBe('200 ok');
      await expect(answer(b, small)).resolves.toBe('200 ok');
      expect(upstream.connections).toHaveLength(2);
    });

    test.each([
      ['says close', `${okHead}Connection: close\r\nContent-Length: 2\r\n\r\nok`],
      ['is of version 1.0', 'HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok'],
      ['is followed by more', `${small}${small}`],
      ['keeps it for a second only', `${okHead}Keep-Alive: timeout=1\r\nContent-Length: 2\r\n\r\nok`],
    ])('are not used again after a response that %s', async (_, bytes) => {
      const { sink } = send();
      const first = await upstream.accept();
      await first.request();
      first.write(bytes);
      await sink.over;
      expect(sink.outcome).toBe('200 ok');
      await first.closed;
      expect(transport.stats).toEqual(nothing);
    });

    test('are closed when bytes come without a request', async () => {
      const { sink } = send();
      const connection = await upstream.accept();
      await connection.request();
      connection.write(small);
      await sink.over;
      await turns(2);
      connection.write(small);
      await connection.closed;
      expect(transport.stats).toEqual(nothing);
    });

    test('are closed by the upstream while a request is sent', async () => {
      const { sink } = send();
      const connection = await upstream.accept();
      await connection.request();
      connection.write(small);
      await sink.over;
      connection.socket.resetAndDestroy();
      const second = send();
      // undici looks at the socket once more before it writes, and may see the end in time.
      void (async () => {
        const fresh = await upstream.accept();
        await fresh.request();
        fresh.write(small);
      })();
      await second.sink.over;
      expect(['200 ok', 'reset']).toContain(second.sink.outcome);
    });

    test.each([
      ['that stays', small],
      ['that closes', `${okHead}Connection: close\r\nContent-Length: 2\r\n\r\nok`],
    ])('carry a request sent from within the end of another one, on a connection %s', async (_, bytes) => {
      const { sink } = send();
      const next = Promise.withResolvers<RecordingSink>();
      sink.onEnd = () => next.resolve(send().sink);
      const connection = await upstream.accept();
      await connection.request();
      connection.write(bytes);
      const second = await next.promise;
      // Which connection carries it is the client's affair.
      const answerOn = async (carrier: UpstreamConnection): Promise<void> => {
        await carrier.request();
        carrier.write(small);
      };
      answerOn(connection).catch(() => {});
      upstream.accept().then(answerOn, () => {});
      await second.over;
      expect(second.outcome).toBe('200 ok');
    });

    test('are bounded', async () => {
      const bounded = create(upstream.origin, { clock, maxConnections: 1 });
      const sink = new RecordingSink();
      const first = bounded.send(get, new RecordingSink(), timeouts);
      bounded.send(get, sink, timeouts);
      await sink.over;
      expect(sink.outcome).toBe('closed');
      first.abort();
      await bounded.close();
    });

    test('are not made to a port where nobody listens', async () => {
      const { origin } = upstream;
      await upstream[Symbol.asyncDispose]();
      upstream = await startUpstream();
      const refused = create(origin, { clock });
      const sink = new RecordingSink();
      refused.send(get, sink, timeouts);
      await sink.over;
      expect(sink.error).toMatchObject({ kind: 'connect', headReceived: false });
      expect(refused.stats).toEqual(nothing);
    });

    test('are made by name', async () => {
      const named = create(upstream.origin.replace('127.0.0.1', 'localhost'), { clock });
      const sink = new RecordingSink();
      named.send(get, sink, timeouts);
      const connection = await upstream.accept();
      await expect(connection.request()).resolves.toMatch(/^host: localhost:\d+$/im);
      connection.write(small);
      await sink.over;
      expect(sink.outcome).toBe('200 ok');
      await named.close();
    });

    test('close lets those in flight finish, and those that come late', async () => {
      const { sink } = send();
      const connection = await upstream.accept();
      await connection.request();
      const closed = transport.close();
      const late = send();
      await expect(answer(await upstream.accept(), small, late)).resolves.toBe('200 ok');
      expect(transport.stats).toEqual({ open: 1, idle: 0, inFlight: 1 });
      connection.write(small);
      await closed;
      expect(sink.outcome).toBe('200 ok');
      expect(transport.stats).toEqual(nothing);
      const last = send();
      await expect(answer(await upstream.accept(), small, last)).resolves.toBe('200 ok');
      expect(transport.stats).toEqual(nothing);
    });
  });

  describe('abort', () => {
    const stages: [string, (connection: UpstreamConnection, sink: RecordingSink) => Promise<void>][] = [
      ['the request is sent', async (connection) => void (await connection.request())],
      [
        'half a head came',
        async (connection) => {
          await connection.request();
          await connection.writePieces([Buffer.from('HTTP/1.1 200')]);
        },
      ],
      [
        'the head came',
        async (connection, sink) => {
          await connection.request();
          connection.write(`${okHead}Content-Length: 5\r\n\r\n`);
          await sink.head.promise;
        },
      ],
      [
        'half the body came',
        async (connection, sink) => {
          await connection.request();
          connection.write(`${okHead}Content-Length: 5\r\n\r\nhel`);
          await sink.firstData.promise;
        },
      ],
    ];

    test.each(stages)('when %s', async (_, reach) => {
      const { sink, exchange } = send();
      const connection = await upstream.accept();
      await reach(connection, sink);
      exchange.abort();
      expect(transport.stats).toEqual(nothing);
      await connection.closed;
      expect(sink.error).toBeUndefined();
      expect(sink.trailers).toBeUndefined();
      exchange.resume();
      exchange.abort();
    });

    test('before there is a connection', async () => {
      const { sink, exchange } = send();
      exchange.abort();
      expect(transport.stats).toEqual(nothing);
      await turns(5);
      expect(sink.error).toBeUndefined();
    });

    test('when the sink has paused', async () => {
      const { sink, exchange } = send();
      sink.takesMore = false;
      const connection = await upstream.accept();
      await connection.request();
      connection.write(`${okHead}Content-Length: 500000\r\n\r\n${'a'.repeat(400_000)}`);
      await sink.firstData.promise;
      exchange.abort();
      expect(transport.stats).toEqual(nothing);
      await connection.closed;
    });

    test('from within the sink', async () => {
      const { sink, exchange } = send();
      sink.onHead = () => exchange.abort();
      const connection = await upstream.accept();
      await connection.request();
      connection.write(small);
      await connection.closed;
      expect(transport.stats).toEqual(nothing);
      expect(sink.bytes).toBe(0);
    });

    test('a sink that throws ends its exchange alone', async () => {
      const { sink } = send();
      sink.onHead = () => {
        throw new Error('broken');
      };
      const connection = await upstream.accept();
      await connection.request();
      connection.write(small);
      await sink.over;
      expect(sink.error?.cause).toMatchObject({ message: 'broken' });
      expect(transport.stats).toEqual(nothing);
    });
  });

  describe('time', () => {
    test('to a connection', async () => {
      const { sink } = send();
      clock.advance(timeouts.connectMs + 1);
      await sink.over;
      expect(sink.error).toMatchObject({ kind: 'connect_timeout' });
      expect(transport.stats).toEqual(nothing);
    });

    test('to a head', async () => {
      const { sink } = send();
      const connection = await upstream.accept();
      await connection.request();
      await connection.writePieces([Buffer.from('HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1')]);
      clock.advance(timeouts.headMs);
      expect(sink.error).toBeUndefined();
      clock.advance(1);
      await sink.over;
      expect(sink.error).toMatchObject({ kind: 'head_timeout', headReceived: false });
      await connection.closed;
      expect(transport.stats).toEqual(nothing);
    });

    test('between two pieces of a body, unless the sink has paused', async () => {
      const { sink, exchange } = send();
      sink.takesMore = false;
      const connection = await upstream.accept();
      await connection.request();
      connection.write(`${okHead}Content-Length: 5\r\n\r\nhel`);
      await sink.firstData.promise;
      clock.advance(timeouts.idleMs * 10);
      expect(sink.error).toBeUndefined();
      exchange.resume();
      clock.advance(timeouts.idleMs);
      expect(sink.error).toBeUndefined();
      clock.advance(1);
      await sink.over;
      expect(sink.error).toMatchObject({ kind: 'idle_timeout', headReceived: true });
      expect(transport.stats).toEqual(nothing);
    });

    const untilOver = (sink: RecordingSink): number => {
      const startMs = clock.now();
      while (!sink.error && clock.now() < startMs + 60_000) clock.tick();
      return clock.now() - startMs;
    };

    test.each<[keyof typeof timeouts, string, string | undefined]>([
      ['connectMs', 'connect_timeout', undefined],
      ['headMs', 'head_timeout', ''],
      ['idleMs', 'idle_timeout', `${okHead}Content-Length: 5\r\n\r\nhel`],
    ])('%s is kept to within a quarter of a second, whenever it begins', async (name, kind, said) => {
      for (const beginsAt of [0, 1, 100, 249]) {
        clock.pass(beginsAt);
        const { sink } = send();
        if (said !== undefined) {
          const connection = await upstream.accept();
          await connection.request();
          connection.write(said);
          if (said !== '') await sink.firstData.promise;
        }
        const tookMs = untilOver(sink);
        expect(sink.error?.kind).toBe(kind);
        expect(tookMs).toBeGreaterThan(timeouts[name]);
        expect(tookMs).toBeLessThanOrEqual(timeouts[name] + 250);
      }
    });
  });

  test.each([
    ['a header that ends the line', { headers: ['a', 'b\r\nX-Evil: 1'] }],
    ['a header with a character that would be cut to CR', { headers: ['a', 'b\u010d\u010ac'] }],
    ['a name with a blank', { headers: ['a b', 'c'] }],
    ['a path with a blank', { path: '/a HTTP/1.1\r\nX-Evil: 1' }],
    ['a path beyond latin1', { path: '/\u010d\u010a' }],
    ['a method with a blank', { method: 'GET /' }],
  ])('refuses to send %s', async (_, request) => {
    const { sink } = send(request);
    await sink.over;
    expect(sink.error).toMatchObject({ kind: 'protocol' });
    expect(transport.stats).toEqual(nothing);
  });

  test('sends method, path and headers as they are, and frames the body itself', async () => {
    const { sink } = send({
      method: 'POST',
      path: "/a%2Fb?c='d'\xe9",
      headers: ['X-A', 'b\xe9', 'Content-Length', '999', 'Transfer-Encoding', 'chunked', 'Host', 'x.test'],
      body: Buffer.from('hello'),
    });
    const connection = await upstream.accept();
    const [line, ...fields] = (await connection.request()).split('\r\n');
    expect(line).toBe("POST /a%2Fb?c='d'\xe9 HTTP/1.1");
    expect(fields.map((field) => field.toLowerCase()).toSorted()).toEqual(
      expect.arrayContaining(['content-length: 5', 'host: x.test', 'x-a: b\xe9']),
    );
    expect(fields.join('\n')).not.toMatch(/transfer-encoding|999/i);
    await expect(connection.body('hello')).resolves.toBe('hello');
    connection.write(small);
    await sink.over;
  });
});
