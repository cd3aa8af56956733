import { once } from 'node:events';
import { connect as connectHttp2, constants } from 'node:http2';
import { connect, createServer, type Socket } from 'node:net';
import { afterEach, expect, test } from '@jest/globals';
import { listenOn, startGateway, startUpstream, stopAll, whenTrue } from './start-gateway.ts';

// What one client or one answer could do to all others.

afterEach(stopAll);

const tableFor = (origin: string, route: object = {}) => ({
  upstreams: { u: { addresses: [origin] } },
  routes: [{ path: '/api', upstream: 'u', access: 'public', ...route }],
});

const speak = (
  url: string,
  bytes: string,
): { socket: Socket; text: () => string; closed: Promise<unknown> } => {
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  let received = '';
  socket.on('data', (chunk: Buffer) => (received += chunk.toString('latin1')));
  socket.on('error', () => undefined);
  socket.write(bytes);
  return { socket, text: () => received, closed: new Promise((resolve) => socket.once('close', resolve)) };
};

const isAlive = async (url: string): Promise<boolean> => (await fetch(`${url}/healthz`)).status === 200;

test('a WebSocket that is asked for behind a request without an answer ends its own connection alone', async () => {
  const origin = await startUpstream(() => undefined);
  const { url } = await startGateway({ table: tableFor(origin, { webSocket: true }) });
  const upgrade = 'Host: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n';
  await speak(url, `GET /api/one HTTP/1.1\r\nHost: x\r\n\r\nGET /api/two HTTP/1.1\r\n${upgrade}`).closed;
  expect(await isAlive(url)).toBe(true);
});

test('any other protocol is as if nobody had asked for it; what came with the offer is not waited for', async () => {
  const origin = await startUpstream((request, response) => response.end(`to ${request.url}`));
  const { url } = await startGateway({ table: tableFor(origin) });
  const { text, closed } = speak(
    url,
    'GET /api/one HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nGET /api/two HTTP/1.1\r\nHost: x\r\n\r\n',
  );
  await closed;
  expect(text()).toMatch(
    /^HTTP\/1.1 200 OK\r\n(?:.+\r\n)*Connection: close\r\n(?:.+\r\n)*\r\nto \/api\/one$/,
  );
});

const rawUpstream = (answer: string): Promise<string> =>
  listenOn(
    createServer((socket) =>
      socket.on('error', () => undefined).once('data', () => socket.write(answer)),
    ) as never,
  );

test('trailers that HTTP/2 forbids stay behind', async () => {
  const trailers =
    'Keep-Alive: x\r\nTE: x\r\nUpgrade: x\r\nProxy-Connection: x\r\nHTTP2-Settings: x\r\nX-Sum: 1\r\n';
  const origin = await rawUpstream(
    `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n${trailers}\r\n`,
  );
  const { url } = await startGateway({ table: tableFor(origin), protocol: 'h2c' });
  const session = connectHttp2(url);
  const stream = session.request({ [constants.HTTP2_HEADER_PATH]: '/api' });
  let seen: Record<string, unknown> = {};
  stream.on('trailers', (headers) => (seen = headers)).resume();
  await once(stream, 'close');
  session.destroy();
  expect(Object.keys(seen)).toEqual(['x-sum']);
});

test('an answer that HTTP/2 cannot carry is 502, and frees its place', async () => {
  const origin = await rawUpstream('HTTP/1.1 700 Odd\r\nContent-Length: 0\r\n\r\n');
  const { url, table } = await startGateway({ table: tableFor(origin), protocol: 'h2c' });
  const session = connectHttp2(url);
  const stream = session.request({ [constants.HTTP2_HEADER_PATH]: '/api' });
  const [head] = (await once(stream.resume(), 'response')) as [object];
  expect(head).toMatchObject({ ':status': 502 });
  await once(stream, 'close');
  session.destroy();
  expect(table.upstreams.get('u')?.state()).toMatchObject({ inFlight: 0 });
});

test('the cookies of HTTP/2 reach the upstream as one header', async () => {
  const origin = await startUpstream((request, response) => response.end(JSON.stringify(request.rawHeaders)));
  const { url } = await startGateway({ table: tableFor(origin), protocol: 'h2c' });
  const session = connectHttp2(url);
  const stream = session.request({ [constants.HTTP2_HEADER_PATH]: '/api', cookie: ['a=1', 'b=2'] as never });
  let text = '';
  for await (const chunk of stream) text += String(chunk);
  session.destroy();
  const headers = JSON.parse(text) as string[];
  expect(headers.filter((name) => name.toLowerCase() === 'cookie')).toHaveLength(1);
  expect(headers).toContain('a=1; b=2');
});

test('clients that stop in the middle of a body do not leave the upstream out', async () => {
  const origin = await startUpstream((request, response) => {
    if (request.method === 'GET') response.end('ok');
    request.resume();
  });
  const { url, table } = await startGateway({ table: tableFor(origin, { timeouts: { idleMs: 300 } }) });
  const half = `POST /api HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n${'x'.repeat(50_000)}`;
  const stalled = Array.from({ length: 6 }, () => speak(url, half));
  await whenTrue(() => stalled.every(({ text }) => text() !== ''));
  expect(stalled.map(({ text }) => text().slice(9, 12))).toEqual(Array.from({ length: 6 }, () => '400'));
  expect(table.upstreams.get('u')?.state().endpoints).toMatchObject([{ state: 'available' }]);
  for (const { socket } of stalled) socket.destroy();
  expect(await (await fetch(`${url}/api`)).text()).toBe('ok');
});

test('a client that leaves within its body is no error of the gateway', async () => {
  const origin = await startUpstream((_request, response) => response.end('ok'));
  const { url, records } = await startGateway({ table: tableFor(origin) });
  const head = 'POST /api HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n';
  const { socket, text } = speak(url, head);
  await whenTrue(() => text().startsWith('HTTP/1.1 100'));
  socket.destroy();
  await whenTrue(() => records.some(({ aborted }) => aborted === true));
  expect(records.filter(({ level }) => level === 'error')).toEqual([]);
});
