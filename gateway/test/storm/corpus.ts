import type { Socket } from 'node:net';

/** What a hostile client does on a connection of its own. */
export interface Attack {
  name: string;
  begin: (socket: Socket) => void;
  /** The status that is said before the connection is closed, `ends` for closed in any way, `waits` for neither. */
  expected: string;
}

const post = (headers: string, body = ''): string => `POST /a HTTP/1.1\r\nHost: x\r\n${headers}\r\n${body}`;
const get = (path: string, headers = ''): string => `GET ${path} HTTP/1.1\r\nHost: x\r\n${headers}\r\n`;
const smuggled = get('/a/smuggled');
const close = 'Connection: close\r\n';

/** Sent as they are, with what is expected when the client goes only once it has an answer. */
const texts: readonly (readonly [text: string, expected: string])[] = [
  [get('/a', close), '200'],
  [`${get('/a/1')}${get('/a/2')}${get('/a/3', close)}`, '200'],
  [`${get('/a/../b')}${get('/a')}`, '400'],
  [post('Content-Length: 6\r\nTransfer-Encoding: chunked\r\n', `0\r\n\r\n${smuggled}`), '400'],
  [post('Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n', `0\r\n\r\n${smuggled}`), '400'],
  [post('Transfer-Encoding: \x0bchunked\r\n', `0\r\n\r\n${smuggled}`), '400'],
  [post('Content-Length: 1\r\nContent-Length: 2\r\n', 'ab'), '400'],
  [post('Content-Length: 9999\r\n', 'short'), 'waits'],
  [post('Content-Length: 99999999999\r\n'), '413'],
  [post('Transfer-Encoding: chunked\r\n', '2\r\nab\r\nzz\r\n'), '400'],
  [post('Transfer-Encoding: chunked\r\n', `2\r\nab\r\n${'f'.repeat(20)}\r\n`), '400'],
  [post('Transfer-Encoding: chunked\r\n', `2;${'x'.repeat(20_000)}\r\nab\r\n0\r\n\r\n`), '413'],
  [post('Transfer-Encoding: chunked\r\nTrailer: X\r\n', '2\r\nab\r\n0\r\nX: y\r\n\r\n'), '200'],
  [post('Expect: 100-continue\r\nContent-Length: 3\r\n'), '100'],
  [post('Expect: nonsense\r\nContent-Length: 3\r\n', 'abc'), '417'],
  [get('/a', `X: ${'a'.repeat(20_000)}\r\n`), '431'],
  [get('/a', 'X: a\r\n'.repeat(2_100)), '431'],
  [get(`/a/${'a'.repeat(20_000)}`), '431'],
  [get('/a', 'X\0: a\r\n'), '400'],
  [get('/a', 'X: \r\n folded\r\n'), '400'],
  [get('/a', 'Connection: authorization, host, content-length\r\n'), '400'],
  [get('/a', 'Upgrade: websocket\r\nConnection: Upgrade\r\n'), '200'],
  [get('/a', 'Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\n'), '200'],
  [get('/a/%2e%2e/%00', close), '400'],
  ['GET http://evil/a HTTP/1.1\r\nHost: x\r\n\r\n', '400'],
  ['CONNECT evil:443 HTTP/1.1\r\nHost: evil\r\n\r\n', 'ends'],
  ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', '400'],
  ['\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03', '400'],
  ['\0'.repeat(1_000), '400'],
  ['\r\n'.repeat(500), 'waits'],
  ['', 'waits'],
];

/** With answers that go wrong at the upstream. */
const paths: readonly (readonly [path: string, expected: string])[] = [
  ['/a/reset', '502'],
  ['/a/half', 'ends'],
  ['/a/garbage', '502'],
  ['/a/poison', '200'],
  ['/a/large', '200'],
];

const named = (how: string, text: string): string => `${JSON.stringify(text.slice(0, 120))}, ${how}`;

const sendText = (text: string, expected: string): Attack => ({
  name: named('open', text),
  begin(socket) {
    socket.once('data', () => socket.end());
    socket.write(Buffer.from(text, 'latin1'));
  },
  expected,
});

const sendAndEnd = (text: string): Attack => ({
  name: named('ended', text),
  begin: (socket) => void socket.end(Buffer.from(text, 'latin1')),
  expected: 'ends',
});

const sendAndReset = (text: string): Attack => ({
  name: named('reset', text),
  begin: (socket) => void socket.write(Buffer.from(text, 'latin1'), () => socket.resetAndDestroy()),
  expected: 'ends',
});

const readNothing: Attack = {
  name: 'reads nothing, and goes away in the middle of the answer',
  begin(socket) {
    socket.pause();
    socket.write(get('/a/large'), () => setTimeout(() => socket.resetAndDestroy(), 20));
  },
  expected: 'ends',
};

export const attacks: readonly Attack[] = [
  ...texts.flatMap(([text, expected]) => [sendText(text, expected), sendAndEnd(text), sendAndReset(text)]),
  // Early close at some points of a request.
  ...[5, 17, 40, 90].flatMap((length) => {
    const part = post('Transfer-Encoding: chunked\r\n', '3\r\nabc\r\n0\r\n\r\n').slice(0, length);
    return [sendAndEnd(part), sendAndReset(part)];
  }),
  ...paths.flatMap(([path, expected]) => [sendText(get(path, close), expected), sendAndReset(get(path))]),
  readNothing,
];
