import { ProblemError } from '@countersign/service-kit';
import type { ForwardedBy } from './client-address.ts';
import {
  type FlatHeaders,
  KindsByName,
  namedByConnection,
  ofThisHop,
  withoutHeaders,
} from './header-lists.ts';

/** Headers that the gateway alone may say, because upstreams believe them. */
const reservedHeaders: ReadonlySet<string> = new Set([
  'forwarded', // RFC 7239: who forwarded for whom
  'host', // told as X-Forwarded-Host; the upstream gets its own name
  'traceparent', // the gateway's span is the upstream's parent
  'tracestate', // goes with it
  'via', // RFC 9110 §7.6.3: set by each hop
  'client-ip', // believed by some frameworks
  'true-client-ip', // the same, from CDNs
  'x-client-ip', // the same
  'x-cluster-client-ip', // the same
  'x-forwarded', // some proxies' name for Forwarded
  'x-http-method', // OData's name for the next
  'x-http-method-override', // some frameworks let it replace the method that was checked
  'x-method-override', // the same
  'x-original-url', // some frameworks route by it
  'x-real-ip', // nginx's name for the client
  'x-request-id', // replaced by the one that the log has
  'x-rewrite-url', // as x-original-url
]);

/** Families of such headers. */
const reservedPrefixes: readonly string[] = [
  'x-forwarded-', // who came from where
  'x-ms-', // identities, as Azure's front ends put them
  'x-client-', // identities, as gateways put them
  'x-caller-', // identities, as this gateway puts them
  'x-original-', // as x-original-url
];

/** @param name in lower case */
export const isReserved = (name: string): boolean =>
  reservedHeaders.has(name) ||
  reservedPrefixes.some((prefix) => name.startsWith(prefix)) ||
  name.includes('_'); // CGI-style servers read X_Forwarded_For as X-Forwarded-For

/** Headers that a client must not be able to have removed by naming them in `Connection`. */
const endToEndHeaders: ReadonlySet<string> = new Set([
  'authorization', // the upstream would see an anonymous request that the gateway saw as somebody's
  'content-length', // framing
  'content-type',
  'cookie',
  'host',
  'traceparent',
  'x-request-id',
]);

/** What the gateway does with a header of a request. Names that it reads itself stand for themselves. */
type RequestHeaderKind = 'forwarded' | 'dropped' | ReadHeader;

type ReadHeader = (typeof readHeaders)[number];

/** Headers whose values the gateway needs. */
const readHeaders = [
  ...[
    ':authority',
    'host',
    'connection',
    'authorization',
    'cookie',
    'origin',
    'content-length',
    'transfer-encoding',
  ],
  ...['expect', 'upgrade', 'access-control-request-method'],
  ...['x-request-id', 'traceparent', 'tracestate'],
  ...['x-forwarded-for', 'x-forwarded-proto', 'x-forwarded-host'],
] as const;

const isRead: ReadonlySet<string> = new Set(readHeaders);

const requestHeaderKind = (key: string): RequestHeaderKind => {
  if (isRead.has(key)) return key as ReadHeader;
  // HTTP/2's pseudo-headers are the request line.
  return key.startsWith(':') || ofThisHop.has(key) || isReserved(key) ? 'dropped' : 'forwarded';
};

const requestKinds = new KindsByName(requestHeaderKind);

/** Values of the headers that say where a request comes from. */
type StatedContext = Record<'x-request-id' | 'traceparent' | 'tracestate', string | undefined>;

/** A request's headers, sorted out in one pass over Node's raw list. Several of one name are joined, as a list is. */
export class SortedRequestHeaders {
  /** What goes on to the upstream. */
  readonly forwarded: string[] = [];
  /** Values of every Authorization header. */
  readonly authorization: string[] = [];
  /** Values of HTTP/2's authority, and of every Host header beside it that says something else (RFC 9113 §8.3.1). */
  readonly hosts: string[] = [];
  #authority: string | undefined;
  /** Lower-case names that `Connection` has beside `keep-alive` and `close`. */
  named: Set<string> | undefined;
  /** What proxies in front say. */
  readonly said: ForwardedBy = { for: undefined, proto: undefined, host: undefined };
  origin: string | undefined;
  #cookieAt = -1;
  contentLength: string | undefined;
  transferEncoding: string | undefined;
  expect: string | undefined;
  upgrade: string | undefined;
  preflightMethod: string | undefined;
  /** What the request says of its place in a trace. */
  readonly stated: StatedContext = {
    'x-request-id': undefined,
    traceparent: undefined,
    tracestate: undefined,
  };

  constructor(rawHeaders: FlatHeaders) {
    for (let index = 0; index < rawHeaders.length; index += 2) {
      const name = rawHeaders[index] as string;
      this.#take(requestKinds.of(name), name, rawHeaders[index + 1] as string);
    }
  }

  /** HTTP/2 clients send each cookie by itself; HTTP/1.1 has one header for them (RFC 9113 §8.2.3). */
  #addCookie(name: string, value: string): void {
    if (this.#cookieAt === -1) {
      this.forwarded.push(name, value);
      this.#cookieAt = this.forwarded.length - 1;
    } else this.forwarded[this.#cookieAt] += `; ${value}`;
  }

  #take(kind: RequestHeaderKind, name: string, value: string): void {
    switch (kind) {
      case 'forwarded':
        this.forwarded.push(name, value);
        break;
      case 'dropped':
        break;
      case 'authorization':
        this.authorization.push(value);
        this.forwarded.push(name, value);
        break;
      case 'cookie':
        this.#addCookie(name, value);
        break;
      case 'origin':
        this.origin = value;
        this.forwarded.push(name, value);
        break;
      case 'access-control-request-method':
        this.preflightMethod = value;
        this.forwarded.push(name, value);
        break;
      case ':authority':
        this.#authority = value.toLowerCase();
        this.hosts.push(value);
        break;
      case 'host':
        if (this.#authority === undefined || value.toLowerCase() !== this.#authority) this.hosts.push(value);
        break;
      case 'connection':
        this.named = namedByConnection(value, this.named);
        break;
      case 'content-length':
        this.contentLength = joined(this.contentLength, value);
        break;
      case 'transfer-encoding':
        this.transferEncoding = joined(this.transferEncoding, value);
        break;
      case 'expect':
        this.expect = joined(this.expect, value);
        break;
      case 'upgrade':
        this.upgrade = joined(this.upgrade, value);
        break;
      case 'x-request-id':
        this.stated['x-request-id'] = joined(this.stated['x-request-id'], value);
        break;
      case 'traceparent':
        this.stated.traceparent = joined(this.stated.traceparent, value);
        break;
      case 'tracestate':
        this.stated.tracestate = joined(this.stated.tracestate, value);
        break;
      case 'x-forwarded-for':
        this.said.for = joined(this.said.for, value);
        break;
      case 'x-forwarded-proto':
        this.said.proto = value;
        break;
      case 'x-forwarded-host':
        this.said.host = value;
        break;
      default:
        kind satisfies never;
    }
  }
}

const joined = (before: string | undefined, value: string): string =>
  before === undefined ? value : `${before},${value}`;

/**
 * What goes on to the upstream, without what `Connection` names.
 *
 * @throws {ProblemError} 400 when that belongs to the whole way.
 */
export const forwardedHeaders = ({ forwarded, named }: SortedRequestHeaders): string[] => {
  if (named === undefined) return forwarded;
  for (const name of named) {
    if (endToEndHeaders.has(name)) {
      throw new ProblemError('Connection names a header that is not of this hop.', {
        status: 400,
        code: 'invalid_request',
      });
    }
  }
  return withoutHeaders(forwarded, named);
};
