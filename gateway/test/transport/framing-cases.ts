/** A response in bytes, and what a sink hears of it. */
export interface FramingCase {
  name: string;
  bytes: string;
  method?: string;
  /** The upstream ends the connection after it. */
  ends?: true;
  outcome: string;
  trailers?: string[];
  headers?: string[];
  information?: number[];
}

const ok = 'HTTP/1.1 200 OK\r\n';

export const goodResponses: FramingCase[] = [
  { name: 'a body with its length', bytes: `${ok}Content-Length: 5\r\n\r\nhello`, outcome: '200 hello' },
  { name: 'an empty body', bytes: `${ok}Content-Length: 0\r\n\r\n`, outcome: '200 ' },
  { name: 'no reason phrase', bytes: 'HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n', outcome: '200 ' },
  {
    name: 'names and values as they come',
    bytes: `${ok}X-A:\t b c\r\nx-empty:\r\nX-\`'~: \xe9\xa0\r\nContent-Length: 0\r\n\r\n`,
    outcome: '200 ',
    headers: ['X-A', 'b c', 'x-empty', '', "X-`'~", '\xe9\xa0', 'Content-Length', '0'],
  },
  {
    name: 'chunks',
    bytes: `${ok}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n00A\r\n, upstream\r\n0\r\n\r\n`,
    outcome: '200 hello, upstream',
  },
  {
    name: 'chunks with extensions and trailers',
    bytes: `${ok}transfer-encoding: Chunked\r\n\r\n5;a=1;b="x y"\r\nhello\r\n0;last\r\nX-Sum: 7\r\nSet-Cookie: a=b\r\nX-More:\r\n\r\n`,
    outcome: '200 hello',
    trailers: ['X-Sum', '7', 'X-More', ''],
  },
  { name: 'a body up to the end', bytes: `${ok}\r\nhello`, ends: true, outcome: '200 hello' },
  { name: 'HTTP/1.0', bytes: 'HTTP/1.0 200 OK\r\n\r\nhello', ends: true, outcome: '200 hello' },
  { name: '204', bytes: 'HTTP/1.1 204 No Content\r\n\r\n', outcome: '204 ' },
  {
    name: '304 with a length',
    bytes: 'HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n',
    outcome: '304 ',
  },
  { name: 'HEAD', method: 'HEAD', bytes: `${ok}Content-Length: 1000\r\n\r\n`, outcome: '200 ' },
  {
    name: 'HEAD of a chunked body',
    method: 'HEAD',
    bytes: `${ok}Transfer-Encoding: chunked\r\n\r\n`,
    outcome: '200 ',
  },
  {
    name: 'information first',
    bytes: `HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n${ok}Content-Length: 2\r\n\r\nok`,
    outcome: '200 ok',
    information: [103, 102],
  },
];

const chunked = `${ok}Transfer-Encoding: chunked\r\n\r\n`;

const refused = (name: string, bytes: string): FramingCase => ({ name, bytes, outcome: 'protocol' });

/** Refused before or after the head by both clients. */
export const badResponses: FramingCase[] = [
  refused('no HTTP', 'SSH-2.0-OpenSSH_9.9\r\n'),
  refused('TLS', '\x15\x03\x01\x00\x02\x02\x46'),
  refused('no version', 'HTTP/ 200 OK\r\n\r\n'),
  refused('a status of two digits', 'HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n'),
  refused('a bare LF after a field', `${ok}X-A: b\nContent-Length: 0\r\n\r\n`),
  refused('a bare CR in a value', `${ok}X-A: b\rX-B: c\r\nContent-Length: 0\r\n\r\n`),
  refused('a NUL in a value', `${ok}X-A: b\0c\r\nContent-Length: 0\r\n\r\n`),
  refused('a space in a name', `${ok}X A: b\r\nContent-Length: 0\r\n\r\n`),
  refused('a space before the colon', `${ok}X-A : b\r\nContent-Length: 0\r\n\r\n`),
  refused('an empty name', `${ok}: b\r\nContent-Length: 0\r\n\r\n`),
  refused('a line without a colon', `${ok}X-A\r\nContent-Length: 0\r\n\r\n`),
  refused('a length and chunks', `${ok}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`),
  refused('two lengths', `${ok}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!`),
  refused('the same length twice', `${ok}Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello`),
  refused('a list of lengths', `${ok}Content-Length: 5, 5\r\n\r\nhello`),
  refused('a length with a sign', `${ok}Content-Length: +5\r\n\r\nhello`),
  refused('a hexadecimal length', `${ok}Content-Length: 0x5\r\n\r\nhello`),
  refused('a length beyond counting', `${ok}Content-Length: 99999999999999999999999\r\n\r\nhello`),
  refused('no chunk size', `${chunked}\r\nhello\r\n`),
  refused('a chunk size that is no number', `${chunked}5x\r\nhello\r\n0\r\n\r\n`),
  refused('a negative chunk size', `${chunked}-5\r\nhello\r\n0\r\n\r\n`),
  refused('an endless chunk size', `${chunked}fffffffffffffffff\r\nhello\r\n0\r\n\r\n`),
  refused('a chunk longer than its size', `${chunked}3\r\nhello\r\n0\r\n\r\n`),
  refused('a head of 40 KiB', `${ok}X-A: ${'a'.repeat(40 * 1024)}\r\nContent-Length: 0\r\n\r\n`),
  refused(
    'an upgrade that nobody asked for',
    'HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n',
  ),
];

/** Refused by our own client, which need not get along with anything that ever was on the web. */
export const strictlyBadResponses: FramingCase[] = [
  refused('HTTP/2.0', 'HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n'),
  refused('HTTP/1.2', 'HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n'),
  refused('lower-case HTTP', 'http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'),
  refused('an empty line first', `\r\n${ok}Content-Length: 0\r\n\r\n`),
  refused('a bare LF after the status', 'HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n'),
  refused('bare LFs alone', 'HTTP/1.1 200 OK\nContent-Length: 0\n\n'),
  refused('obs-fold', `${ok}X-A: b\r\n c\r\nContent-Length: 0\r\n\r\n`),
  refused('a length with a leading zero', `${ok}Content-Length: 05\r\n\r\nhello`),
  refused('an empty length', `${ok}Content-Length:\r\n\r\n`),
  refused('chunks in HTTP/1.0', 'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'),
  refused('another coding', `${ok}Transfer-Encoding: gzip\r\n\r\n0\r\n\r\n`),
  refused('two codings', `${ok}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`),
  refused(
    'the coding twice',
    `${ok}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  ),
  refused('a chunk size with a blank', `${chunked}5 \r\nhello\r\n0\r\n\r\n`),
  refused('a chunk size that ends in a bare LF', `${chunked}5\nhello\r\n0\r\n\r\n`),
  refused('chunk extensions of 20 KiB', `${chunked}5;${'a'.repeat(20 * 1024)}\r\nhello\r\n0\r\n\r\n`),
  refused('trailers of 20 KiB', `${chunked}0\r\nX-A: ${'a'.repeat(20 * 1024)}\r\n\r\n`),
  refused('malformed trailers', `${chunked}0\r\nX A: b\r\n\r\n`),
  refused('201 fields', `${ok}${'a: b\r\n'.repeat(200)}Content-Length: 0\r\n\r\n`),
  refused('a 1xx response with a length', `HTTP/1.1 103 Early\r\nContent-Length: 0\r\n\r\n${ok}\r\n`),
  refused('17 times 100', 'HTTP/1.1 100 Continue\r\n\r\n'.repeat(17)),
];
