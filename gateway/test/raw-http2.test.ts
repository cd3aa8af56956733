import { once } from 'node:events';
import { connect as connectHttp2, constants } from 'node:http2';
import { connect } from 'node:net';
import { afterEach, describe, expect, test } from '@jest/globals';
import { frame, frameTypes, preface } from './http2-frames.ts';
import { startGateway, startUpstream, stopAll, whenTrue } from './start-gateway.ts';

afterEach(stopAll);

const start = async () => {
  const seen: string[] = [];
  const headers: string[] = [];
  const origin = await startUpstream((request, response) => {
    seen.push(request.url as string);
    headers.push(...request.rawHeaders);
    response.end('ok');
  });
  const gateway = await startGateway({
    protocol: 'h2c',
    table: {
      upstreams: { u: { addresses: [origin] } },
      routes: [{ path: '/a', upstream: 'u', access: 'public' }],
    },
  });
  return { ...gateway, seen, headers };
};

/** Somebody else's request is answered. */
const expectRight = async (url: string): Promise<void> => {
  const session = connectHttp2(url);
  const stream = session.request({ ':path': '/a/right' }).resume();
  const [head] = (await once(stream, 'response')) as [Record<string, unknown>];
  expect(head[':status']).toBe(200);
  session.destroy();
};

/** RFC 7541 §6.2.2: literals that are not indexed, so that any octets can be sent. */
const encodeHeaders = (headers: readonly (readonly [string, string])[]): Buffer =>
  Buffer.concat(
    headers.flat().map((text, index) => {
      const octets = Buffer.from(text, 'latin1');
      return Buffer.concat([Buffer.from(index % 2 === 0 ? [0, octets.length] : [octets.length]), octets]);
    }),
  );

const { data, headers: headersFrame, rstStream, settings, goAway } = frameTypes;
const endOfStreamAndHeaders = 0x5;
const opening = Buffer.concat([preface, frame(settings, 0, 0, Buffer.alloc(0))]);

/** Sends one request; resolves with what it came to. Statuses are not decoded: the answer's code stands in its body. */
const send = (url: string, headers: readonly (readonly [string, string])[]): Promise<string> =>
  new Promise((resolve) => {
    const socket = connect(Number(new URL(url).port), '127.0.0.1');
    socket.on('error', () => undefined);
    socket.once('close', () => resolve('closed'));
    let pending = Buffer.alloc(0);
    const end = (outcome: string): void => {
      resolve(outcome);
      socket.destroy();
    };
    socket.on('data', (chunk: Buffer) => {
      pending = Buffer.concat([pending, chunk]);
      while (pending.length >= 9 && pending.length >= 9 + pending.readUIntBE(0, 3)) {
        const length = pending.readUIntBE(0, 3);
        const type = pending.readUInt8(3);
        const payload = pending.subarray(9, 9 + length);
        pending = pending.subarray(9 + length);
        if (type === rstStream) end('reset');
        if (type === goAway) end('closed');
        if (type === data && length > 0) end(payload.toString());
      }
    });
    const request = frame(headersFrame, endOfStreamAndHeaders, 1, encodeHeaders(headers));
    socket.write(Buffer.concat([opening, request]));
  });

const [method, scheme, path, authority] = [
  [':method', 'GET'],
  [':scheme', 'http'],
  [':path', '/a'],
  [':authority', 'x'],
] as const;
const line = [method, scheme, path, authority];

test('what follows is refused for its fault alone: without one the request is answered', async () => {
  const { url, seen } = await start();
  expect(await send(url, line)).toBe('ok');
  expect(await send(url, [...line, ['te', 'trailers']])).toBe('ok');
  expect(seen).toEqual(['/a', '/a']);
});

describe('requests that are malformed (RFC 9113 §8.1.1) never reach the upstream', () => {
  test.each<[string, readonly (readonly [string, string])[]]>([
    ['Connection', [...line, ['connection', 'close']]],
    ['Transfer-Encoding', [...line, ['transfer-encoding', 'chunked']]],
    ['Keep-Alive', [...line, ['keep-alive', 'timeout=5']]],
    ['Upgrade', [...line, ['upgrade', 'websocket']]],
    ['Proxy-Connection', [...line, ['proxy-connection', 'close']]],
    ['TE with more than trailers', [...line, ['te', 'gzip']]],
    ['a name in capitals', [...line, ['X-A', 'b']]],
    ['a pseudo-header behind a header', [method, scheme, ['x', 'y'], path, authority]],
    ['a pseudo-header that is none', [...line, [':evil', 'x']]],
    ['a pseudo-header of answers', [...line, [':status', '200']]],
    ['two paths', [...line, [':path', '/a/other']]],
    ['two methods', [...line, [':method', 'POST']]],
    ['no path', [method, scheme, authority]],
    ['no method', [scheme, path, authority]],
    ['an empty path', [method, scheme, [':path', ''], authority]],
    ['a line end in the path', [method, scheme, [':path', '/a HTTP/1.1\r\nX: y\r\n'], authority]],
    ['a path in the absolute form', [method, scheme, [':path', 'http://evil/a'], authority]],
    ['no authority and no host', [method, scheme, path]],
    ['a length without a body', [...line, ['content-length', '5']]],
    ['two hosts', [method, scheme, path, ['host', 'x'], ['host', 'y']]],
    ['an authority and another host', [...line, ['host', 'y']]],
  ])('%s', async (_, headers) => {
    const { url, seen } = await start();
    expect(await send(url, headers)).toMatch(/^(?:reset|closed|.*"code":"invalid_request".*)$/);
    expect(seen).toEqual([]);
    await expectRight(url);
  });
});

test.each<[string, readonly [string, string]]>([
  ['an empty name', ['', 'evil']],
  ['a line end in a name', ['x\r\nevil', 'b']],
  ['a line end in a value', ['x', 'a\r\nevil: b']],
  ['NUL in a value', ['x', 'a\0evil']],
])('a header with %s is left out', async (_, header) => {
  const { url, seen, headers } = await start();
  expect(await send(url, [...line, header])).toBe('ok');
  expect(seen).toEqual(['/a']);
  expect(headers.join(' ')).not.toContain('evil');
});

test('streams that are opened and reset without end close their connection, and hold nobody else up', async () => {
  const { url, table } = await start();
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  socket.on('error', () => undefined).resume();
  const closed = once(socket, 'close');
  const cancel = Buffer.from([0, 0, 0, constants.NGHTTP2_CANCEL]);
  const streams = Array.from({ length: 5_000 }, (_, index) => [
    frame(headersFrame, endOfStreamAndHeaders, 2 * index + 1, encodeHeaders(line)),
    frame(rstStream, 0, 2 * index + 1, cancel),
  ]);
  socket.write(Buffer.concat([opening, ...streams.flat()]));
  await expect(closed).resolves.toBeDefined();
  await expectRight(url);
  await whenTrue(() => table.upstreams.get('u')?.state().inFlight === 0);
  expect(table.upstreams.get('u')?.state()).toMatchObject({ queued: 0 });
});
