import { once } from 'node:events';
import { type IncomingMessage, request, type RequestListener } from 'node:http';

import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { buffer, text } from 'node:stream/consumers';
import { afterEach, describe, expect, test } from '@jest/globals';
import { startGateway, startUpstream, stopAll } from './start-gateway.ts';

afterEach(stopAll);

const document = JSON.stringify({ text: 'countersign '.repeat(10_000) });

const get = async (
  upstream: RequestListener,
  headers: Record<string, string>,
  { method = 'GET', compress = true } = {},
): Promise<IncomingMessage> => {
  const route = { path: '/api', upstream: 'records-api', access: 'public', compress };
  const upstreams = { 'records-api': { addresses: [await startUpstream(upstream)] } };
  const { url } = await startGateway({ table: { upstreams, routes: [route] } });
  const [response] = (await once(request(`${url}/api`, { method, headers }).end(), 'response')) as [
    IncomingMessage,
  ];
  return response;
};

const answering =
  (headers: Record<string, string>, body: string = document, status = 200): RequestListener =>
  (_incoming, outgoing) => {
    outgoing.writeHead(status, { 'content-length': Buffer.byteLength(body), ...headers });
    outgoing.end(body);
  };

const json = { 'content-type': 'application/json', etag: '"1"', 'accept-ranges': 'bytes' };

describe('a route that compresses', () => {
  test.each([
    ['br, gzip', 'br', brotliDecompressSync],
    ['gzip', 'gzip', gunzipSync],
    ['gzip;q=0.5, br;q=0', 'gzip', gunzipSync],
  ])(
    'for a client that takes %s: %s, with a weak validator and without a length',
    async (taken, coding, decode) => {
      const response = await get(answering(json), { 'accept-encoding': taken });
      expect(response.headers).toMatchObject({
        'content-encoding': coding,
        vary: 'Accept-Encoding',
        etag: 'W/"1"',
        'content-type': 'application/json',
      });
      expect(response.headers).not.toHaveProperty('content-length');
      expect(response.headers).not.toHaveProperty('accept-ranges');
      const bytes = await buffer(response);
      expect(bytes.length).toBeLessThan(document.length / 50);
      expect(decode(bytes).toString()).toBe(document);
    },
  );

  const digests = {
    'content-digest': 'sha-256=:AAAA:',
    'repr-digest': 'sha-256=:AAAA:',
    digest: 'sha-256=AAAA',
    'content-md5': 'AAAA',
  };

  test.each([
    ['gzip', []],
    ['identity', Object.keys(digests)],
  ])('digests of what the upstream sent, for a client that takes %s: %j', async (taken, names) => {
    const { headers } = await get(answering({ ...json, ...digests }), { 'accept-encoding': taken });
    expect(Object.keys(headers).filter((name) => name in digests)).toEqual(names);
  });

  const weak = { etag: 'W/"1"', vary: 'Accept-Encoding' };
  const strong = { etag: '"1"', 'content-digest': digests['content-digest'] };

  test.each<[string, Record<string, string>, string, object]>([
    ['that says no type', {}, 'gzip', weak],
    ['that says all of its document', { ...json, 'content-length': '2000' }, 'gzip', weak],
    ['to a client that takes none', {}, 'identity', { ...strong, vary: 'Accept-Encoding' }],
    [
      'of a short document',
      { ...json, 'content-length': '2' },
      'gzip',
      { ...strong, vary: 'Accept-Encoding' },
    ],
    ['of a picture', { 'content-type': 'image/png' }, 'gzip', strong],
  ])('304 %s has the validator that 200 has', async (_name, said, taken, expected) => {
    const upstream: RequestListener = (_incoming, outgoing) =>
      outgoing.writeHead(304, { etag: '"1"', ...digests, ...said }).end();
    const { statusCode, headers } = await get(upstream, { 'accept-encoding': taken });
    expect(statusCode).toBe(304);
    const { etag, vary, 'content-digest': digest, 'content-encoding': coding } = headers;
    expect({ etag, vary, 'content-digest': digest, 'content-encoding': coding }).toEqual(expected);
  });

  test.each<[string, RequestListener, Record<string, string>]>([
    ['a client that takes none', answering(json), {}],
    ['a client that refuses all', answering(json), { 'accept-encoding': 'identity' }],
    ['a short body', answering(json, '{}'), { 'accept-encoding': 'gzip' }],
    ['a picture', answering({ 'content-type': 'image/png' }), { 'accept-encoding': 'gzip' }],
    ['events', answering({ 'content-type': 'text/event-stream' }), { 'accept-encoding': 'gzip' }],
    ['no-transform', answering({ ...json, 'cache-control': 'no-transform' }), { 'accept-encoding': 'gzip' }],
    ['a part', answering(json, document, 206), { 'accept-encoding': 'gzip' }],
    [
      'what is encoded already',
      answering({ ...json, 'content-encoding': 'zstd' }),
      { 'accept-encoding': 'gzip' },
    ],
  ])('leaves %s as it is', async (_name, upstream, headers) => {
    const response = await get(upstream, headers);
    expect(response.headers).toHaveProperty('content-length');
    expect(['zstd', undefined]).toContain(response.headers['content-encoding']);
    const body = await text(response);
    expect([document, '{}']).toContain(body);
  });

  test('the window of br is 64 KiB: every client that does not read its answer holds one', async () => {
    const bytes = await buffer(await get(answering(json), { 'accept-encoding': 'br' }));
    // RFC 7932 §9.1: a first bit of 0 stands for a window of 16 bits.
    expect((bytes[0] as number) & 1).toBe(0);
  });

  test.each(['gzip', 'identity'])(
    'HEAD has the headers of GET, for a client that takes %s',
    async (taken) => {
      const headersOf = async (method: string) => {
        const { headers } = await get(
          answering({ ...json, ...digests }),
          { 'accept-encoding': taken },
          { method },
        );
        const { date: _date, 'x-request-id': _id, 'transfer-encoding': _framing, ...said } = headers;
        return said;
      };
      expect(await headersOf('HEAD')).toEqual(await headersOf('GET'));
    },
  );

  test('a digest in the trailers goes with the bytes that it is of', async () => {
    const upstream: RequestListener = (_incoming, outgoing) => {
      outgoing.writeHead(200, { 'content-type': 'text/plain', trailer: 'Content-Digest, X-Sum' });
      outgoing.addTrailers({ 'Content-Digest': 'sha-256=:AAAA:', 'X-Sum': '7' });
      outgoing.end(document);
    };
    const trailersFor = async (taken: string) => {
      const response = await get(upstream, { 'accept-encoding': taken });
      await buffer(response);
      return Object.keys(response.trailers);
    };
    expect(await trailersFor('gzip')).toEqual(['x-sum']);
    expect(await trailersFor('identity')).toEqual(['content-digest', 'x-sum']);
  });

  test('an upstream that dies in the middle cuts the client off', async () => {
    const upstream: RequestListener = (_incoming, outgoing) => {
      outgoing.writeHead(200, { 'content-type': 'text/plain' });
      outgoing.write('a'.repeat(200_000), () => outgoing.destroy());
    };
    const response = await get(upstream, { 'accept-encoding': 'gzip' });
    await expect(buffer(response)).rejects.toThrow('aborted');
  });
});

test('other routes leave answers alone', async () => {
  const response = await get(answering(json), { 'accept-encoding': 'gzip' }, { compress: false });
  expect(response.headers).not.toHaveProperty('vary');
  expect(await text(response)).toBe(document);
});
