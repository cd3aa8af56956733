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
  'client-cert', // RFC 9440: the certificate that a client showed
  'client-cert-chain', // goes with it
  'client-ip', // believed by some frameworks
  'disguised-host', // Azure App Service's name for the host that was asked
  'front-end-https', // Microsoft's word for X-Forwarded-Proto
  'proxy', // CGI-style servers make HTTP_PROXY of it, by which their programs go out
  'true-client-ip', // as client-ip, from CDNs
  'was-default-hostname', // as disguised-host
  'x-client-ip', // as client-ip
  'x-cluster-client-ip', // the same
  'x-forwarded', // some proxies' name for Forwarded
  'x-host', // some frameworks put it in the place of Host
  'x-http-host-override', // the same
  'x-http-method', // OData's name for the next
  'x-http-method-override', // some frameworks let it replace the method that was checked
  'x-http-path-override', // as x-original-url
  'x-method-override', // as x-http-method-override
  'x-original-url', // some frameworks route by it
  'x-originating-ip', // as client-ip, from mail
  'x-override-url', // as x-original-url
  'x-proxyuser-ip', // as client-ip
  'x-real-ip', // nginx's name for the client
  'x-request-id', // replaced by the one that the log has
  'x-rewrite-url', // as x-original-url
  'x-scheme', // ingress-nginx's name for X-Forwarded-Proto
  'x-ssl', // the same, elsewhere
  'x-url', // as x-original-url
  'x-url-scheme', // as x-scheme
]);

/** Families of such headers. */
const reservedPrefixes: readonly string[] = [
  'x-forwarded-', // who came from where
  'x-ms-', // identities, as Azure's front ends put them
  'x-arr-', // certificates of clients, as IIS and Azure App Service put them
  'x-waws-', // the path as it came, from Azure App Service
  'x-azure-', // clients' addresses, as Azure Front Door puts them
  'x-fd-', // the same, formerly
  'cf-', // addresses and identities, as Cloudflare puts them
  'fastly-client', // addresses, as Fastly puts them
  'x-envoy-', // addresses, paths and orders to sidecars, as Envoy puts them
  'x-amzn-oidc-', // identities, as AWS's load balancers put them
  'x-amzn-mtls-', // certificates, from the same
  'x-goog-authenticated-user-', // identities, as Google's IAP puts them
  'remote-', // the user, as CGI calls it, and as Authelia puts it
  'x-remote-', // users and groups, as Kubernetes believes them
  'x-auth-request-', // identities, as oauth2-proxy puts them
  'x-authenticated-', // identities, as API gateways put them
  'x-consumer-', // the same, Kong's
  'x-credential-', // the same
  'x-webauth-', // identities, as Grafana believes them
  'ssl-client-', // certificates of clients, as ingress-nginx puts them
  'x-ssl-', // the same, of other proxies
  'x-client-', // identities, as gateways put them
  'x-caller-', // identities, as this gateway puts them
  'x-original-', // as x-original-url
];

/** One look, because names that clients make up are not remembered without end. CGI-style servers read X_Real.IP as X-Real-IP. */
const reservedForms = new RegExp(`^(?:${reservedPrefixes.join('|')})|[^a-z\\d-]`);

/** @param name in lower case */
export const isReserved = (name: string): boolean => reservedHeaders.has(name) || reservedForms.test(name);

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
