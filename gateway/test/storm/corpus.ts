import type { Socket } from 'node:net';

/** What a hostile client does on a connection of its own. */
export type Attack = (socket: Socket) => void;

const post = (headers: string, body = ''): string => `POST /a HTTP/1.1\r\nHost: x\r\n${headers}\r\n${body}`;
const get = (path: string, headers = ''): string => `GET ${path} HTTP/1.1\r\nHost: x\r\n${headers}\r\n`;
const smuggled = get('/a/smuggled');
const close = 'Connection: close\r\n';

/** Sent as they are; the gateway closes the connection, or the client does once it has an answer. */
const texts: readonly string[] = [
  get('/a', close),
  `${get('/a/1')}${get('/a/2')}${get('/a/3', close)}`,
  `${get('/a/../b')}${get('/a')}`,
  post('Content-Length: 6\r\nTransfer-Encoding: chunked\r\n', `0\r\n\r\n${smuggled}`),
  post('Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n', `0\r\n\r\n${smuggled}`),
  post('Transfer-Encoding: \x0bchunked\r\n', `0\r\n\r\n${smuggled}`),
  post('Content-Length: 1\r\nContent-Length: 2\r\n', 'ab'),
  post('Content-Length: 9999\r\n', 'short'),
  post('Content-Length: 99999999999\r\n'),
  post('Transfer-Encoding: chunked\r\n', '2\r\nab\r\nzz\r\n'),
  post('Transfer-Encoding: chunked\r\n', `2\r\nab\r\n${'f'.repeat(20)}\r\n`),
  post('Transfer-Encoding: chunked\r\n', `2;${'x'.repeat(20_000)}\r\nab\r\n0\r\n\r\n`),
  post('Transfer-Encoding: chunked\r\nTrailer: X\r\n', '2\r\nab\r\n0\r\nX: y\r\n\r\n'),
  post('Expect: 100-continue\r\nContent-Length: 3\r\n'),
  post('Expect: nonsense\r\nContent-Length: 3\r\n', 'abc'),
  get('/a', `X: ${'a'.repeat(20_000)}\r\n`),
  get('/a', 'X: a\r\n'.repeat(2_100)),
  get(`/a/${'a'.repeat(20_000)}`),
  get('/a', 'X\0: a\r\n'),
  get('/a', 'X: \r\n folded\r\n'),
  get('/a', 'Connection: authorization, host, content-length\r\n'),
  get('/a', 'Upgrade: websocket\r\nConnection: Upgrade\r\n'),
  get('/a', 'Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\n'),
  get('/a/%2e%2e/%00', close),
  'GET http://evil/a HTTP/1.1\r\nHost: x\r\n\r\n',
  'CONNECT evil:443 HTTP/1.1\r\nHost: evil\r\n\r\n',
  'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  '\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03',
  '\0'.repeat(1_000),
  '\r\n'.repeat(500),
  '',
];

/** With answers that go wrong at the upstream. */
const paths: readonly string[] = ['/a/reset', '/a/half', '/a/garbage', '/a/poison', '/a/large'];

const sendText =
  (text: string): Attack =>
  (socket) => {
    socket.once('data', () => socket.end());
    socket.write(Buffer.from(text, 'latin1'));
  };

const sendAndEnd =
  (text: string): Attack =>
  (socket) =>
    void socket.end(Buffer.from(text, 'latin1'));

const sendAndReset =
  (text: string): Attack =>
  (socket) =>
    void socket.write(Buffer.from(text, 'latin1'), () => socket.resetAndDestroy());

/** Reads nothing, and goes away in the middle of the answer. */
const readNothing: Attack = (socket) => {
  socket.pause();
  socket.write(get('/a/large'), () => setTimeout(() => socket.resetAndDestroy(), 20));
};

export const attacks: readonly Attack[] = [
  ...texts.flatMap((text) => [sendText(text), sendAndEnd(text), sendAndReset(text)]),
  // Early close at some points of a request.
  ...[5, 17, 40, 90].flatMap((length) => {
    const part = post('Transfer-Encoding: chunked\r\n', '3\r\nabc\r\n0\r\n\r\n').slice(0, length);
    return [sendAndEnd(part), sendAndReset(part)];
  }),
  ...paths.flatMap((path) => [sendText(get(path, close)), sendAndReset(get(path))]),
  readNothing,
];
