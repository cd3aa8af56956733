import type { UpstreamRequest } from './transport.ts';

// The last line of defence, whoever made the request: nothing in it can end a line early, and no character is cut
// down to another one on its way to an octet.
const token = /^[!#$%&'*+\-.^_`|~\dA-Za-z]+$/;
const target = /^[\x21-\x7e\x80-\xff]+$/;
// Not every control: no other ends a line (RFC 9110 §5.5), and to look for all of them takes ten times as long in a token.
const notInValue = /[\0\r\n\u0100-\uffff]/;

/**
 * The head of a request as one string of octets.
 *
 * @throws {TypeError} when method, path or a header would not stay what it is.
 */
export const requestHead = (request: UpstreamRequest, host: string): string => {
  const { method, path, headers } = request;
  if (!token.test(method) || !target.test(path)) throw new TypeError('invalid method or path');
  let fields = '';
  let hasHost = false;
  for (let index = 0; index < headers.length; index += 2) {
    const name = headers[index] as string;
    const value = headers[index + 1] as string;
    if (isFraming(name)) continue;
    if (!token.test(name) || notInValue.test(value)) throw new TypeError('invalid header');
    if (name.length === 4 && name.toLowerCase() === 'host') hasHost = true;
    fields += `${name}: ${value}\r\n`;
  }
  const hostField = hasHost ? '' : `Host: ${host}\r\n`;
  return `${method} ${path} HTTP/1.1\r\n${hostField}${fields}${framing(request)}\r\n`;
};

const isFraming = (name: string): boolean =>
  (name.length === 14 && name.toLowerCase() === 'content-length') ||
  (name.length === 17 && name.toLowerCase() === 'transfer-encoding');

const framing = ({ method, body, contentLength }: UpstreamRequest): string => {
  if (Buffer.isBuffer(body)) return `Content-Length: ${body.length}\r\n`;
  // RFC 9110 §8.6: where a body is expected, its absence is said.
  if (body === null)
    return method === 'POST' || method === 'PUT' || method === 'PATCH' ? 'Content-Length: 0\r\n' : '';
  return contentLength === undefined
    ? 'Transfer-Encoding: chunked\r\n'
    : `Content-Length: ${contentLength}\r\n`;
};
