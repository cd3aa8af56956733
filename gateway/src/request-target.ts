import { METHODS, type IncomingMessage } from 'node:http';
import { ProblemError } from '@countersign/service-kit';

/** Where a request wants to go. Matching and forwarding both use `path` as it came: there is no second reading. */
export interface RequestTarget {
  /** As it came, without the query. */
  path: string;
  /** With its question mark; empty when there is none. */
  query: string;
  /** Whether the path holds an encoded slash, which a route has to allow. */
  encodedSlash: boolean;
}

/** RFC 3986 §3.3: what a path may hold, less `;`, whose parameters some servers cut off. */
const plainPath = /^(?:\/[A-Za-z0-9\-._~!$&'()*+,=:@]*)+$/;
const pathWithEscapes = /^(?:\/(?:[A-Za-z0-9\-._~!$&'()*+,=:@]|%[0-9A-Fa-f]{2})*)+$/;

/** `.` and `..` are steps for one server and names for another, also between encoded slashes; so are empty segments. */
const ambiguousSegment = /(?:\/|%2f)\.{1,2}(?:\/|%2f|$)|\/\//i;

/**
 * Escapes that a server may undo before it looks for a path, and find another one than was matched here: of unreserved
 * characters (RFC 3986 §2.3 makes them equal to the plain ones), of `%`, of controls, of backslashes, and of what ends a
 * path or a segment's name (`;`, `?`, `#`).
 */
const forbiddenEscape = /%(?:2[35de]|3[0-9bf]|[46][1-9a-f]|[57][0-9a]|5[cf]|7[ef]|[01][0-9a-f])/i;

/** Visible ASCII but `#` (a fragment is never sent), quotes, angle brackets and backslash. */
const plainQuery = /^[!$-;=?-[\]-~]*$/;

/** A name has 253 characters at most (RFC 1035 §3.1), and the host is told to the upstream three times. */
const longestHost = 255;

/** One host name or address with an optional port (RFC 9110 §7.2). */
const hostPattern = /^(?:[A-Za-z0-9](?:[A-Za-z0-9\-._]*[A-Za-z0-9.])?|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?$/;

const refusal = (detail: string, status = 400, code = 'invalid_request'): ProblemError =>
  new ProblemError(detail, { status, code });

/**
 * Reads the request target (RFC 9112 §3.2). Only the origin form is taken, and only paths that every server reads alike:
 * what would need to be normalised is refused, so that the path which is matched is the path which is forwarded.
 *
 * @throws {ProblemError} 400 that says which rule was broken, without repeating the target.
 */
export const readTarget = (target: string): RequestTarget => {
  const queryAt = target.indexOf('?');
  const path = queryAt === -1 ? target : target.slice(0, queryAt);
  const query = queryAt === -1 ? '' : target.slice(queryAt);
  if (query !== '' && !plainQuery.test(query))
    throw refusal('The query holds characters that have to be encoded.');
  const plain = plainPath.test(path);
  if (!plain) {
    if (!path.startsWith('/')) throw refusal('Only the origin form of a request target is taken: a path.');
    if (!pathWithEscapes.test(path)) throw refusal('The path holds characters that have to be encoded.');
    if (forbiddenEscape.test(path)) throw refusal('The path holds an escape that servers read in two ways.');
    if (!isUtf8(path)) throw refusal('The path holds escapes that are not UTF-8.');
  }
  if (ambiguousSegment.test(path))
    throw refusal('The path holds an empty segment, or one that is a step: . or ..');
  return { path, query, encodedSlash: !plain && /%2f/i.test(path) };
};

/** Overlong forms and surrogates are none (RFC 3629 §3): lenient servers make dots and slashes of them. */
const isUtf8 = (path: string): boolean => {
  try {
    decodeURIComponent(path);
    return true;
  } catch {
    return false;
  }
};

/** Whether a request came over HTTP/2, which says the host and the length of bodies in ways of its own. */
export const isHttp2 = (request: IncomingMessage): boolean => 'stream' in request;

/**
 * Exactly one valid Host, as a request of HTTP/1.1 must have (RFC 9112 §3.2). Node takes the first of several.
 *
 * @throws {ProblemError} 400
 */
export const readHost = (hosts: readonly string[]): string => {
  if (hosts.length > 1) throw refusal('There is more than one Host header.');
  const [host] = hosts;
  if (host === undefined || host.length > longestHost || !hostPattern.test(host))
    throw refusal('The Host header names no host.');
  return host;
};

/** Methods that speak to a proxy and not to a resource. */
const proxyMethods: ReadonlySet<string> = new Set([
  'CONNECT', // opens a tunnel
  'TRACE', // echoes the request, with what the gateway added to it
  'TRACK', // the same, elsewhere
]);

/** Over HTTP/2 Node takes any token, also one that an upstream would read in another letter case. */
const methods: ReadonlySet<string> = new Set(METHODS.filter((method) => !proxyMethods.has(method)));

/**
 * Node takes any version in a request line, and answers as if it were 1.1.
 *
 * @throws {ProblemError} 501 for a method that is not for resources, 505 for a version that is not spoken.
 */
export const assertSpoken = (request: IncomingMessage): void => {
  const { method = '', httpVersion } = request;
  if (!isHttp2(request) && httpVersion !== '1.1' && httpVersion !== '1.0') {
    throw refusal('Only HTTP/1.1 and 1.0 are spoken here.', 505, 'http_version_not_supported');
  }
  if (!methods.has(method)) throw refusal('This method is not served here.', 501, 'not_implemented');
};
