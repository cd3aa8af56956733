import { once } from 'node:events';
import { type IncomingMessage, request, type RequestListener } from 'node:http';
import { connect as connectHttp2, type IncomingHttpHeaders } from 'node:http2';
import { connect } from 'node:net';
import { afterEach, describe, expect, test } from '@jest/globals';
import { createHttp1Transport } from '../src/transport/http1-transport.ts';
import { createUndiciTransport } from '../src/transport/undici-transport.ts';
import { startGateway, startUpstream, stopAll } from './start-gateway.ts';

afterEach(stopAll);

describe.each([
  ['http1', createHttp1Transport],
  ['undici', createUndiciTransport],
])('over %s', (_, createTransport) => {
  const start = async (upstream: RequestListener, protocol: 'http1' | 'h2c' = 'http1'): Promise<string> => {
    const table = {
      upstreams: { u: { addresses: [await startUpstream(upstream)] } },
      routes: [{ path: '/a', upstream: 'u', access: 'public' }],
    };
    return `${(await startGateway({ createTransport, protocol, table })).url}/a`;
  };

  describe('early hints', () => {
    const link = '</a.css>; rel=preload; as=style';

    /** An upstream that says all that it can ahead of its answer, and answers when it may. */
    const hinting = () => {
      const mayAnswer = Promise.withResolvers<void>();
      const upstream: RequestListener = (_request, response) => {
        response.writeProcessing();
        response.writeEarlyHints({ link, 'x-inner': '1' });
        void mayAnswer.promise.then(() => response.end('ok'));
      };
      return { upstream, answer: mayAnswer.resolve };
    };

    test('reach the client before the answer, with their links alone, and nothing else of 1xx does', async () => {
      const { upstream, answer } = hinting();
      const outgoing = request(await start(upstream)).end();
      const informed: number[] = [];
      outgoing.on('information', ({ statusCode }) => informed.push(statusCode));
      const [{ headers }] = (await once(outgoing, 'information')) as [{ headers: object }];
      expect(headers).toEqual({ link });
      answer();
      const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
      expect(response.statusCode).toBe(200);
      expect(informed).toEqual([103]);
      await once(response.resume(), 'end');
    });

    test('of several links in one field do as well', async () => {
      const mayAnswer = Promise.withResolvers<void>();
      const both = `${link}, </b.js>; rel=preload`;
      const url = await start((_request, response) => {
        response.socket?.write(`HTTP/1.1 103 Early Hints\r\nLink: ${both}\r\n\r\n`);
        void mayAnswer.promise.then(() => response.end('ok'));
      });
      const outgoing = request(url).end();
      const [{ headers }] = (await once(outgoing, 'information')) as [{ headers: object }];
      expect(headers).toEqual({ link: both });
      mayAnswer.resolve();
      const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
      await once(response.resume(), 'end');
    });

    test('reach a client of HTTP/2', async () => {
      const { upstream, answer } = hinting();
      const session = connectHttp2(await start(upstream, 'h2c'));
      const stream = session.request({ ':path': '/a' });
      const [hints] = (await once(stream, 'headers')) as [IncomingHttpHeaders];
      expect(Object.entries(hints)).toEqual([
        [':status', 103],
        ['link', link],
      ]);
      answer();
      const [head] = (await once(stream.resume(), 'response')) as [IncomingHttpHeaders];
      session.destroy();
      expect(head[':status']).toBe(200);
    });

    test('are not for a client of HTTP/1.0, which would take them for the answer', async () => {
      const { upstream, answer } = hinting();
      answer();
      const socket = connect(Number(new URL(await start(upstream)).port), '127.0.0.1');
      socket.write('GET /a HTTP/1.0\r\nHost: x\r\n\r\n');
      let text = '';
      for await (const chunk of socket) text += String(chunk);
      expect(text).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
      expect(text).not.toMatch(/HTTP\/1\.1 1|link:/i);
    });
  });

  describe('trailers', () => {
    test('of an answer go on, but for those that would come too late or be believed, and what its head may not say', async () => {
      const url = await start((_request, response) => {
        response.write('whole');
        response.addTrailers({
          'X-Sum': '7',
          'Set-Cookie': 'a=1',
          'Content-Type': 'text/html',
          'Proxy-Authentication-Info': 'x',
          Server: 'nginx/1.0',
          'X-Powered-By': 'PHP/5',
          'X-Request-Id': '1',
          'X-More': '',
        });
        response.end();
      });
      const [response] = (await once(request(url).end(), 'response')) as [IncomingMessage];
      await once(response.resume(), 'end');
      expect(response.trailers).toEqual({ 'x-sum': '7', 'x-more': '' });
    });

    test('of one name all go on', async () => {
      const url = await start((_request, response) => {
        response.write('whole');
        response.addTrailers([
          ['X-Sum', '7'],
          ['X-Sum', '8'],
        ]);
        response.end();
      });
      const [response] = (await once(request(url).end(), 'response')) as [IncomingMessage];
      await once(response.resume(), 'end');
      expect(response.rawTrailers).toEqual(['X-Sum', '7', 'X-Sum', '8']);
    });

    test('of a request stay behind', async () => {
      const url = await start((incoming, response) => {
        let body = '';
        incoming.on('data', (chunk: Buffer) => (body += String(chunk)));
        incoming.on('end', () => response.end(JSON.stringify({ body, trailers: incoming.trailers })));
      });
      const outgoing = request(url, { method: 'POST', headers: { 'transfer-encoding': 'chunked' } });
      outgoing.write('whole');
      outgoing.addTrailers({ 'X-Sum': '7', 'X-Caller-Roles': 'admin' });
      const [response] = (await once(outgoing.end(), 'response')) as [IncomingMessage];
      let text = '';
      for await (const chunk of response) text += String(chunk);
      expect(JSON.parse(text)).toEqual({ body: 'whole', trailers: {} });
    });
  });

  describe('ranges', () => {
    const content = 'countersign';
    const etag = '"1"';
    const upstream: RequestListener = ({ headers }, response) => {
      const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? '') ?? [];
      const isCurrent = headers['if-range'] === undefined || headers['if-range'] === etag;
      if (first === undefined || !isCurrent) {
        response.writeHead(200, { etag, 'accept-ranges': 'bytes' }).end(content);
      } else if (Number(first) >= content.length) {
        response.writeHead(416, { 'content-range': `bytes */${content.length}` }).end();
      } else {
        const range = `bytes ${first}-${last}/${content.length}`;
        const part = content.slice(Number(first), Number(last) + 1);
        response.writeHead(206, { etag, 'content-range': range, 'content-length': part.length }).end(part);
      }
    };

    test.each([
      ['a part', { range: 'bytes=2-4' }, 206, 'bytes 2-4/11', 'unt'],
      [
        'a part of what has not changed',
        { range: 'bytes=2-4', 'if-range': etag },
        206,
        'bytes 2-4/11',
        'unt',
      ],
      ['a part of what has changed', { range: 'bytes=2-4', 'if-range': '"0"' }, 200, null, content],
      ['a part that there is not', { range: 'bytes=11-12' }, 416, 'bytes */11', ''],
      ['all', {}, 200, null, content],
    ])('%s', async (_name, headers, status, range, body) => {
      const response = await fetch(await start(upstream), { headers: headers as Record<string, string> });
      expect(response.status).toBe(status);
      expect(response.headers.get('content-range')).toBe(range);
      expect(response.headers.get('etag')).toBe(status === 416 ? null : etag);
      expect(response.headers.get('accept-ranges')).toBe(status === 200 ? 'bytes' : null);
      expect(await response.text()).toBe(body);
    });
  });
});
