import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createHttp1Transport } from '../src/transport/http1-transport.ts';
import { createUndiciTransport } from '../src/transport/undici-transport.ts';
import { type RecordingUpstream, startRecording } from './recording-upstream.ts';
import { small } from './scripted-server.ts';
import { startGateway, stopAll, type TestGateway, whenTrue } from './start-gateway.ts';

interface Forwarded {
  headers?: string;
  host?: string;
  framing?: string;
  body?: string;
}

const chunked = { framing: 'Transfer-Encoding: chunked\r\n' };
const ofLength = (length: number) => ({ framing: `Content-Length: ${length}\r\n` });

describe.each([
  ['http1', createHttp1Transport],
  ['undici', createUndiciTransport],
])('over %s', (transport, createTransport) => {
  let gateway: TestGateway;
  let upstream: RecordingUpstream;
  beforeAll(async () => {
    upstream = await startRecording((socket) => socket.write(small));
    const table = {
      upstreams: { u: { addresses: [`http://${upstream.authority}`] } },
      routes: [{ path: '/a', upstream: 'u', access: 'public' }],
    };
    gateway = await startGateway({ createTransport, table });
  });
  afterAll(async () => {
    await stopAll();
    await upstream[Symbol.asyncDispose]();
  });

  const statuses = (answer: string): string[] =>
    [...answer.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => status as string);

  /** A connection to the gateway, with what comes back until it is closed. */
  const open = (): { socket: Socket; answered: Promise<string> } => {
    const socket = connect(Number(new URL(gateway.url).port), '127.0.0.1');
    let answer = '';
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => (answer += chunk.toString('latin1')));
    return { socket, answered: new Promise((resolve) => socket.once('close', () => resolve(answer))) };
  };

  /** Sends bytes on a connection of their own; resolves with what came back once it is closed, or has so many answers. */
  const send = (bytes: string, answers: number): Promise<string> => {
    const { socket, answered } = open();
    let answer = '';
    socket.on('data', (chunk: Buffer) => {
      answer += chunk.toString('latin1');
      const final = statuses(answer).filter((status) => status !== '100').length;
      // What comes after the last answer that is awaited would be one too many.
      if (final >= answers) socket.end();
    });
    socket.write(Buffer.from(bytes, 'latin1'));
    return answered;
  };

  /** What the upstream gets of a request, byte for byte. */
  const forwarded = (line: string, { headers = '', host = 'x', framing = '', body = '' }: Forwarded = {}) => {
    const own =
      'X-Request-Id: <id>\r\ntraceparent: <trace>\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\n' +
      `X-Forwarded-Host: ${host}\r\nForwarded: for=127.0.0.1;host="${host}";proto=http\r\nVia: 1.1 countersign\r\n`;
    const fields =
      transport === 'undici'
        ? `host: ${upstream.authority}\r\nconnection: keep-alive\r\n${headers}${own}${framing.toLowerCase()}`
        : `Host: ${upstream.authority}\r\n${headers}${own}${framing}`;
    return `${line} HTTP/1.1\r\n${fields}\r\n${body}`;
  };

  /** What the upstream got, without the two values that are new for each request. */
  const heard = (): string[] =>
    upstream
      .heard()
      .map((bytes) =>
        bytes
          .replaceAll(/^(X-Request-Id: )[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}\r$/gm, '$1<id>\r')
          .replaceAll(/^(traceparent: )00-[\da-f]{32}-[\da-f]{16}-01\r$/gm, '$1<trace>\r'),
      );

  /** Somebody else's request is answered, and the upstream gets it and nothing else. */
  const expectRight = async (): Promise<void> => {
    const { answer, heard: bytes } = await ask(right);
    expect(statuses(answer)).toEqual(['200']);
    expect(answer.endsWith('\r\n\r\nok')).toBe(true);
    expect(bytes).toEqual([forwarded('GET /a/right')]);
  };

  const end = 'Connection: close\r\n\r\n';
  const right = `GET /a/right HTTP/1.1\r\nHost: x\r\n${end}`;
  /** What an attacker would like the upstream to take for a request of its own. */
  const smuggled = 'GET /a/smuggled HTTP/1.1\r\nHost: x\r\n\r\n';

  /** What the upstream hears is a text for each connection. */
  const ask = async (bytes: string, answers = 1): Promise<{ answer: string; heard: string[] }> => {
    upstream.forget();
    const answer = await send(bytes, answers);
    return { answer, heard: heard() };
  };

  describe('framing that two servers read in different ways is refused, and the upstream hears nothing', () => {
    const post = (headers: string, body: string): string =>
      `POST /a HTTP/1.1\r\nHost: x\r\n${headers}\r\n${body}`;
    test.each<[string, string]>([
      ['CL.TE', post('Content-Length: 6\r\nTransfer-Encoding: chunked\r\n', `0\r\n\r\n${smuggled}`)],
      [
        'TE.CL',
        post('Transfer-Encoding: chunked\r\nContent-Length: 4\r\n', `5c\r\n${smuggled}\r\n0\r\n\r\n`),
      ],
      [
        'TE.TE',
        post('Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n', `0\r\n\r\n${smuggled}`),
      ],
      ['chunked in quotes', post('Transfer-Encoding: "chunked"\r\n', `0\r\n\r\n${smuggled}`)],
      ['chunked with a parameter', post('Transfer-Encoding: chunked;q=1\r\n', `0\r\n\r\n${smuggled}`)],
      ['chunked and a comma', post('Transfer-Encoding: ,chunked,\r\n', `0\r\n\r\n${smuggled}`)],
      ['chunked behind a form feed', post('Transfer-Encoding: \x0cchunked\r\n', `0\r\n\r\n${smuggled}`)],
      ['chunked behind a high byte', post('Transfer-Encoding: \xa0chunked\r\n', `0\r\n\r\n${smuggled}`)],
      ['chunked before NUL', post('Transfer-Encoding: chunked\0\r\n', `0\r\n\r\n${smuggled}`)],
      ['a tab in the name', post('Transfer\tEncoding: chunked\r\nContent-Length: 5\r\n', '0\r\n\r\n')],
      ['a header before the first line', ` Host: x\r\n${smuggled}`],
      ['a folded first header', `GET /a HTTP/1.1\r\n Host: x\r\n${end}`],
      ['a folded header with a tab', `GET /a HTTP/1.1\r\nHost: x\r\nX: a\r\n\tb\r\n${end}`],
      [
        'chunked in HTTP/1.0',
        `POST /a HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\n${smuggled}`,
      ],
      ['the same length twice', post('Content-Length: 1\r\nContent-Length: 1\r\n', 'a')],
      ['a length with a blank in it', post('Content-Length: 1 1\r\n', 'a')],
      ['two lengths', post('Content-Length: 1\r\nContent-Length: 2\r\n', 'ab')],
      ['a list of lengths', post('Content-Length: 1, 1\r\n', 'a')],
      ['a signed length', post('Content-Length: +1\r\n', 'a')],
      ['a negative length', post('Content-Length: -1\r\n', 'a')],
      ['a hexadecimal length', post('Content-Length: 0x1\r\n', 'a')],
      ['an empty length', post('Content-Length: \r\n', 'a')],
      ['a length beyond numbers', post(`Content-Length: ${'9'.repeat(40)}\r\n`, 'a')],
      ['a coding that is none', post('Transfer-Encoding: xchunked\r\n', `0\r\n\r\n${smuggled}`)],
      ['chunked twice', post('Transfer-Encoding: chunked, chunked\r\n', `0\r\n\r\n${smuggled}`)],
      ['chunked not last', post('Transfer-Encoding: chunked, gzip\r\n', `0\r\n\r\n${smuggled}`)],
      ['a space before the colon', post('Transfer-Encoding : chunked\r\n', `0\r\n\r\n${smuggled}`)],
      ['a vertical tab before chunked', post('Transfer-Encoding: \x0bchunked\r\n', `0\r\n\r\n${smuggled}`)],
      ['a folded header', post('Transfer-Encoding:\r\n chunked\r\n', `0\r\n\r\n${smuggled}`)],
      ['bare line feeds', `GET /a HTTP/1.1\nHost: x\n\n`],
      ['a bare carriage return', 'GET /a HTTP/1.1\r\nHost: x\rX: y\r\n\r\n'],
      ['NUL in a value', `GET /a HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n${end}`],
      ['NUL in a name', `GET /a HTTP/1.1\r\nHost: x\r\nX\0: a\r\n${end}`],
      ['a high byte in a name', `GET /a HTTP/1.1\r\nHost: x\r\nX\xe9: a\r\n${end}`],
      ['an empty name', `GET /a HTTP/1.1\r\nHost: x\r\n: a\r\n${end}`],
      ['a line without a colon', `GET /a HTTP/1.1\r\nHost: x\r\nnonsense\r\n${end}`],
      ['HTTP/1.2', `GET /a HTTP/1.2\r\nHost: x\r\n${end}`],
      ['HTTP/2 in words', `GET /a HTTP/2.0\r\nHost: x\r\n${end}`],
      ['no version', 'GET /a\r\n\r\n'],
      ['a method in small letters', `get /a HTTP/1.1\r\nHost: x\r\n${end}`],
      [
        'a body on GET',
        `GET /a HTTP/1.1\r\nHost: x\r\nContent-Length: ${smuggled.length}\r\n\r\n${smuggled}`,
      ],
      ['the absolute form', `GET http://evil/a HTTP/1.1\r\nHost: x\r\n${end}`],
      ['the authority form', `GET evil:80 HTTP/1.1\r\nHost: x\r\n${end}`],
      ['two hosts', `GET /a HTTP/1.1\r\nHost: x\r\nHost: y\r\n${end}`],
      ['no host', `GET /a HTTP/1.1\r\n${end}`],
      ['a host with a path', `GET /a HTTP/1.1\r\nHost: x/y\r\n${end}`],
      ['a host with a user', `GET /a HTTP/1.1\r\nHost: u@x\r\n${end}`],
      [
        'Connection that names Authorization',
        `GET /a HTTP/1.1\r\nHost: x\r\nConnection: authorization\r\n\r\n`,
      ],
      [
        'Connection that names X-Request-Id',
        `GET /a HTTP/1.1\r\nHost: x\r\nConnection: close, X-Request-Id\r\n\r\n`,
      ],
    ])('%s', async (_, request) => {
      const { answer, heard: bytes } = await ask(request);
      expect(statuses(answer)).toEqual([expect.stringMatching(/^(?:4\d\d|501|505)$/)]);
      expect(bytes).toEqual([]);
      await expectRight();
    });
  });

  describe('what is refused for what it asks, and not for how, leaves the connection to the next request', () => {
    test.each([
      'GET /a/../b HTTP/1.1\r\nHost: x\r\n\r\n',
      'GET /a/%2e%2e/b HTTP/1.1\r\nHost: x\r\n\r\n',
      'GET /a/..%2fb HTTP/1.1\r\nHost: x\r\n\r\n',
      'GET /a;b HTTP/1.1\r\nHost: x\r\n\r\n',
      'GET /a//b HTTP/1.1\r\nHost: x\r\n\r\n',
      'GET /a%00 HTTP/1.1\r\nHost: x\r\n\r\n',
      'GET /A%5cb HTTP/1.1\r\nHost: x\r\n\r\n',
      'GET /%61 HTTP/1.1\r\nHost: x\r\n\r\n',
      'GET /a/%2561 HTTP/1.1\r\nHost: x\r\n\r\n',
      'GET /a/%c0%ae%c0%ae/b HTTP/1.1\r\nHost: x\r\n\r\n',
      'GET /a%3bb HTTP/1.1\r\nHost: x\r\n\r\n',
      'GET /a HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n',
      'GET /a HTTP/1.1\r\nHost: x, y\r\n\r\n',
      'GET /a HTTP/1.1\r\nHost: x\r\nConnection: cookie\r\n\r\n',
      'GET /a HTTP/1.1\r\nHost: x\r\nConnection: traceparent, keep-alive\r\n\r\n',
      'GET http://evil/a HTTP/1.1\r\nHost: x\r\n\r\n',
      'OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n',
      'TRACE /a HTTP/1.1\r\nHost: x\r\n\r\n',
      'GET /elsewhere HTTP/1.1\r\nHost: x\r\n\r\n',
    ])('%j', async (request) => {
      const { answer, heard: bytes } = await ask(`${request}GET /a/next HTTP/1.1\r\nHost: x\r\n${end}`, 2);
      expect(statuses(answer)).toEqual([expect.stringMatching(/^(?:400|404|501)$/), '200']);
      expect(bytes).toEqual([forwarded('GET /a/next')]);
    });
  });

  describe('octets beyond ASCII', () => {
    test('of a value go on as they are', async () => {
      const { answer, heard: bytes } = await ask(`GET /a HTTP/1.1\r\nHost: x\r\nX: \xe9\xff\x80\r\n${end}`);
      expect(statuses(answer)).toEqual(['200']);
      expect(bytes).toEqual([forwarded('GET /a', { headers: 'X: \xe9\xff\x80\r\n' })]);
      await expectRight();
    });

    test.each([1, 8, 11, 12, 31, 127])('a control character %d in a value is refused', async (code) => {
      const { answer, heard: bytes } = await ask(
        `GET /a HTTP/1.1\r\nHost: x\r\nX: a${String.fromCodePoint(code)}b\r\n${end}`,
      );
      expect(statuses(answer)).toEqual(['400']);
      expect(bytes).toEqual([]);
      await expectRight();
    });
  });

  test.each(['identity\r\nTransfer-Encoding: chunked', 'x\r\nTRANSFER-ENCODING: chunked', 'gzip, chunked'])(
    'a coding before chunked, %j: 501 and the end of the connection; the body goes nowhere',
    async (coding) => {
      const { answer, heard: bytes } = await ask(
        `POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: ${coding}\r\n\r\n0\r\n\r\n`,
      );
      expect(statuses(answer)).toEqual(['501']);
      expect(answer).toMatch(/^connection: close\r$/im);
      expect(bytes).toEqual([]);
      await expectRight();
    },
  );

  describe('a chunked body', () => {
    const head = 'POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n';
    /** What of it the upstream gets as long as no more than the first chunk, `ab`, has come. */
    const begun = (): string =>
      forwarded('POST /a', { ...chunked, body: transport === 'undici' ? '2\r\nab' : '2\r\nab\r\n' });

    test.each([
      ['as it is', '2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n'],
      ['without extensions', '2;a=b\r\nab\r\n3;c="d";f\r\ncde\r\n0;e\r\n\r\n'],
      ['without trailers', '2\r\nab\r\n3\r\ncde\r\n0\r\nX: y\r\nHost: y\r\n\r\n'],
      ['with sizes written anew', '0002\r\nab\r\n0000003\r\ncde\r\n00\r\n\r\n'],
    ])('goes on %s, and the next request after it', async (_, body) => {
      const { answer, heard: bytes } = await ask(`${head}${body}${right}`, 2);
      expect(statuses(answer)).toEqual(['200', '200']);
      const whole = forwarded('POST /a', { ...chunked, body: '2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n' });
      expect(bytes).toEqual([whole + forwarded('GET /a/right')]);
    });

    describe.each([
      ['a chunk size that is none', '\r\nzz\r\nab\r\n0\r\n\r\n'],
      ['a chunk size that overflows', `\r\n${'f'.repeat(20)}\r\nab\r\n0\r\n\r\n`],
      ['a chunk size with a sign', '\r\n+1\r\na\r\n0\r\n\r\n'],
      ['a chunk size with a prefix', '\r\n0x1\r\na\r\n0\r\n\r\n'],
      ['a chunk size behind a blank', '\r\n 1\r\na\r\n0\r\n\r\n'],
      ['a chunk size that ends in a bare LF', '\r\n1\na\r\n0\r\n\r\n'],
      ['a chunk extension with a bare LF', '\r\n1;a=\nb\r\na\r\n0\r\n\r\n'],
      ['a trailer that is none', '\r\n0\r\nX Y: z\r\n\r\n'],
      ['a chunk without its line end', 'X\r\n0\r\n\r\n'],
      ['a second request in the place of a chunk', `\r\n${smuggled}`],
      ['chunk extensions without end', `\r\n2;${'x'.repeat(20_000)}\r\nab\r\n0\r\n\r\n`, '413'],
    ])('with %s is broken off', (_, rest, status = '400') => {
      test('where it turns out to be none, and the upstream never sees its end', async () => {
        upstream.forget();
        const { socket, answered } = open();
        socket.write(`${head}2\r\nab`);
        await whenTrue(() => heard().join('').includes('2\r\nab'));
        socket.end(rest);
        const answer = await answered;
        await whenTrue(() => upstream.unfinished() === 0);
        expect(statuses(answer)).toEqual([status]);
        expect(heard()).toEqual([begun()]);
        await expectRight();
      });

      test('when it comes as one', async () => {
        const { answer } = await ask(`${head}2\r\nab${rest}`);
        expect(statuses(answer)).toEqual([status]);
        // How far it came is the gateway's to say; all that it wrote is here before the answer to another request.
        expect(statuses(await send(right, 1))).toEqual(['200']);
        const others = heard().filter((bytes) => bytes !== forwarded('GET /a/right'));
        expect(others.length).toBeLessThanOrEqual(1);
        expect(begun().startsWith(others[0] ?? '')).toBe(true);
      });
    });
  });

  describe('too much of anything', () => {
    test.each<[string, string]>([
      ['a header of 20 kB', `GET /a HTTP/1.1\r\nHost: x\r\nX: ${'a'.repeat(20_000)}\r\n${end}`],
      ['2,100 headers', `GET /a HTTP/1.1\r\nHost: x\r\n${'X: a\r\n'.repeat(2_100)}${end}`],
      ['a name of 20 kB', `GET /a HTTP/1.1\r\nHost: x\r\n${'X'.repeat(20_000)}: a\r\n${end}`],
      ['a host of 20 kB', `GET /a HTTP/1.1\r\nHost: ${'x'.repeat(20_000)}\r\n${end}`],
      ['a query of 20 kB', `GET /a?${'a'.repeat(20_000)} HTTP/1.1\r\nHost: x\r\n${end}`],
      [
        'a Connection header of 20 kB',
        `GET /a HTTP/1.1\r\nHost: x\r\nConnection: ${'x,'.repeat(10_000)}\r\n${end}`,
      ],
      ['a path of 20 kB', `GET /a/${'a'.repeat(20_000)} HTTP/1.1\r\nHost: x\r\n${end}`],
    ])('%s: 431 with a problem document', async (_, request) => {
      const { answer, heard: bytes } = await ask(request);
      expect(statuses(answer)).toEqual(['431']);
      expect(answer).toContain('application/problem+json');
      expect(bytes).toEqual([]);
      await expectRight();
    });
  });

  describe('pipelining', () => {
    test('each request is answered in its turn, and the upstream sees each by itself', async () => {
      const { answer, heard: bytes } = await ask(
        `GET /a/1 HTTP/1.1\r\nHost: x\r\n\r\nGET /a/2 HTTP/1.1\r\nHost: x\r\n\r\nGET /a/3 HTTP/1.1\r\nHost: x\r\n${end}`,
        3,
      );
      expect(statuses(answer)).toEqual(['200', '200', '200']);
      expect(bytes).toEqual([forwarded('GET /a/1') + forwarded('GET /a/2') + forwarded('GET /a/3')]);
      await expectRight();
    });

    test('a request that was whole is answered, whatever comes after it', async () => {
      const { answer, heard: bytes } = await ask(
        `GET /a/1 HTTP/1.1\r\nHost: x\r\n\r\nGET /a/2 HTTP/1.1\r\nHost : x\r\n\r\n`,
        2,
      );
      expect(statuses(answer)).toEqual(['200']);
      expect(bytes).toEqual([forwarded('GET /a/1')]);
      await expectRight();
    });

    test('a request is worked on when those before it are answered', async () => {
      let mostAtOnce = 0;
      let atOnce = 0;
      const { answer: answerAtOnce } = upstream;
      upstream.answer = (socket) => {
        mostAtOnce = Math.max(mostAtOnce, (atOnce += 1));
        setImmediate(() => {
          atOnce -= 1;
          socket.write(small);
        });
      };
      const { answer, heard: bytes } = await ask(
        `${'GET /a HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(20)}${right}`,
        21,
      );
      upstream.answer = answerAtOnce;
      expect(statuses(answer)).toEqual(Array(21).fill('200'));
      expect(mostAtOnce).toBe(1);
      expect(bytes).toEqual([forwarded('GET /a').repeat(20) + forwarded('GET /a/right')]);
      await expectRight();
    });

    test('too many that wait end the connection, and none of them is worked on', async () => {
      const { answer: answerAtOnce } = upstream;
      upstream.answer = () => undefined;
      const { answer, heard: bytes } = await ask('GET /a HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(200), 200);
      upstream.answer = answerAtOnce;
      expect(answer).toBe('');
      expect(['', forwarded('GET /a')]).toContain(bytes.join(''));
      await expectRight();
    });

    test('a refusal does not take the next request with it', async () => {
      const { answer, heard: bytes } = await ask(
        `GET /a/../b HTTP/1.1\r\nHost: x\r\n\r\nGET /a/2 HTTP/1.1\r\nHost: x\r\n${end}`,
        2,
      );
      expect(statuses(answer)).toEqual(['400', '200']);
      expect(bytes).toEqual([forwarded('GET /a/2')]);
      await expectRight();
    });
  });

  describe('what the upstream gets', () => {
    test('is one request, framed anew, without what ends here', async () => {
      const { heard: bytes } = await ask(
        'POST /a/b?c HTTP/1.1\r\nHost: gateway.example\r\nTE: trailers\r\nTrailer: X\r\nKeep-Alive: timeout=9\r\n' +
          'Proxy-Authorization: Basic x\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\nX_Real_IP: 1\r\nX-Forwarded-For: 6.6.6.6\r\n' +
          `Forwarded: for=6.6.6.6\r\nX-MS-CLIENT-PRINCIPAL-ID: me\r\nContent-Length: 3\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\n\r\nabc`,
      );
      expect(bytes).toEqual([
        forwarded('POST /a/b?c', { host: 'gateway.example', ...ofLength(3), body: 'abc' }),
      ]);
      await expectRight();
    });

    const abc = (): string => forwarded('POST /a', { ...ofLength(3), body: 'abc' });

    test('Expect: 100-continue is answered here, and only once the body is wanted', async () => {
      const refused = await ask(
        `POST /a/../b HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\nConnection: close\r\n\r\n`,
      );
      expect(statuses(refused.answer)).toEqual(['400']);
      expect(refused.heard).toEqual([]);
      const taken = await ask(
        `POST /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc`,
      );
      expect(statuses(taken.answer)).toEqual(['100', '200']);
      expect(taken.heard).toEqual([abc()]);
      await expectRight();
    });

    test.each([
      ['Expect: 100-continue\r\nExpect: other', ['100', '200']],
      ['Expect: other\r\nExpect: 100-continue', ['100', '200']],
      ['Expect: other', ['417']],
    ])('%s is read as one list', async (lines, answers) => {
      const { answer, heard: bytes } = await ask(
        `POST /a HTTP/1.1\r\nHost: x\r\n${lines}\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc`,
      );
      expect(statuses(answer)).toEqual(answers);
      expect(bytes).toEqual(answers.includes('200') ? [abc()] : []);
      await expectRight();
    });

    test('of two offers to switch none is taken', async () => {
      const offer = 'Upgrade: h2c\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: x';
      const { answer, heard: bytes } = await ask(`GET /a HTTP/1.1\r\nHost: x\r\n${offer}\r\n\r\n`);
      expect(statuses(answer)).toEqual(['200']);
      expect(bytes).toEqual([forwarded('GET /a', { headers: 'Sec-WebSocket-Key: x\r\n' })]);
      await expectRight();
    });
  });

  describe.each([
    ['ended', (socket: Socket) => void socket.end()],
    ['reset', (socket: Socket) => void socket.resetAndDestroy()],
  ])('a connection that is %s', (how, leave) => {
    const head = 'POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n';
    const request = `${head}3\r\nabc\r\n0\r\n\r\n`;
    const dataAt = head.length + '3\r\n'.length;

    /** All that the upstream gets of so much of the request. */
    const begun = (length: number): string => {
      const data = 'abc'.slice(0, Math.max(0, length - dataAt));
      // undici begins with the first of the body, and ends a chunk with the next.
      if (transport === 'undici' && data === '') return '';
      const chunk = data === '' ? '' : `${data.length}\r\n${data}${transport === 'undici' ? '' : '\r\n'}`;
      return length < head.length ? '' : forwarded('POST /a', { ...chunked, body: chunk });
    };

    test.each(Array.from({ length: request.length }, (_, length) => length))(
      'after %d bytes of a request leaves nothing behind',
      async (length) => {
        upstream.forget();
        const { socket, answered } = open();
        socket.write(request.slice(0, length));
        await once(socket, 'connect');
        await whenTrue(() => heard().join('').length >= begun(length).length);
        leave(socket);
        const answer = await answered;
        await whenTrue(() => upstream.unfinished() === 0);
        expect(statuses(answer)).toEqual(how === 'reset' || length === 0 ? [] : ['400']);
        expect(heard()).toEqual(begun(length) === '' ? [] : [begun(length)]);
        await expectRight();
        expect(gateway.table.upstreams.get('u')?.state()).toMatchObject({ inFlight: 0, queued: 0 });
      },
    );
  });
});
