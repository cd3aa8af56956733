import { ProblemError } from '@countersign/service-kit';
import type { ForwardedBy } from './client-address.ts';

/** Flat list: name, value, name, value. */
export type FlatHeaders = readonly string[];

/** Headers that concern one connection alone and end at each hop (RFC 9110 §7.6.1). */
const ofThisHop: ReadonlySet<string> = new Set([
  'connection', // names further ones
  'keep-alive', // RFC 2068 §19.7.1: about this connection
  'proxy-connection', // the same, from old clients
  'te', // which transfer codings this hop takes
  'trailer', // announces trailers; the gateway says itself which it sends
  'transfer-encoding', // each side frames for itself: passing it on is how requests are smuggled
  'upgrade', // switches the protocol of this hop
  'http2-settings', // goes with an upgrade to HTTP/2
  'proxy-authenticate', // asks this hop's client to authenticate to the proxy
  'proxy-authorization', // credentials for this proxy, not for the upstream
  'proxy-authentication-info', // answers those
  'expect', // answered by this hop's server
  'content-length', // framing: the transport says it anew
]);

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

const isReserved = (name: string): boolean =>
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

/** A request's headers, sorted out in one pass. */
export interface SortedRequestHeaders {
  /** What goes on to the upstream. */
  forwarded: string[];
  /** Values of every Authorization header. */
  authorization: string[];
  said: ForwardedBy;
  origin: string | undefined;
}

/**
 * Sorts a request's headers in one pass over Node's raw list.
 *
 * @throws {ProblemError} 400 when `Connection` names a header that belongs to the whole way.
 */
export const sortRequestHeaders = (rawHeaders: FlatHeaders): SortedRequestHeaders => {
  const forwarded: string[] = [];
  const authorization: string[] = [];
  const said: ForwardedBy = {};
  let named: ReadonlySet<string> | undefined;
  let origin: string | undefined;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] as string;
    const value = rawHeaders[index + 1] as string;
    // HTTP/2's pseudo-headers are the request line.
    if (name.startsWith(':')) continue;
    const key = name.toLowerCase();
    if (ofThisHop.has(key)) {
      if (key === 'connection') named = namedByConnection(value, named);
      continue;
    }
    if (isReserved(key)) {
      if (key === 'x-forwarded-for') said.for = said.for === undefined ? value : `${said.for},${value}`;
      else if (key === 'x-forwarded-proto') said.proto = value;
      else if (key === 'x-forwarded-host') said.host = value;
      continue;
    }
    if (key === 'authorization') authorization.push(value);
    else if (key === 'origin') origin = value;
    forwarded.push(name, value);
  }
  if (named === undefined) return { forwarded, authorization, said, origin };
  for (const name of named) {
    if (endToEndHeaders.has(name)) {
      throw new ProblemError('Connection names a header that is not of this hop.', {
        status: 400,
        code: 'invalid_request',
      });
    }
  }
  return { forwarded: withoutHeaders(forwarded, named), authorization, said, origin };
};

/** Headers of answers that say what runs behind, or are the gateway's own to say. */
const answeredByGateway: ReadonlySet<string> = new Set([
  'server', // tells attackers what to look for
  'x-powered-by', // the same
  'x-request-id', // the gateway's is the same, or the upstream did not take it over
]);

/** The headers of an upstream's answer as the client gets them. */
export const sortResponseHeaders = (rawHeaders: FlatHeaders): string[] => {
  const headers: string[] = [];
  let named: ReadonlySet<string> | undefined;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] as string;
    const value = rawHeaders[index + 1] as string;
    const key = name.toLowerCase();
    if (key === 'connection') named = namedByConnection(value, named);
    if (key === 'content-length' || (!ofThisHop.has(key) && !answeredByGateway.has(key)))
      headers.push(name, value);
  }
  return named === undefined ? headers : withoutHeaders(headers, named);
};

/** `keep-alive` and `close` are no names of headers; most requests have nothing else here. */
const namedByConnection = (
  value: string,
  before: ReadonlySet<string> | undefined,
): ReadonlySet<string> | undefined => {
  const lower = value.toLowerCase();
  if (before === undefined && (lower === 'keep-alive' || lower === 'close')) return undefined;
  return new Set([...(before ?? []), ...lower.split(',').map((name) => name.trim())]);
};

/** A list without the headers of these lower-case names. */
export const withoutHeaders = (headers: readonly string[], names: ReadonlySet<string>): string[] => {
  const kept: string[] = [];
  for (let index = 0; index < headers.length; index += 2) {
    const name = headers[index] as string;
    if (!names.has(name.toLowerCase())) kept.push(name, headers[index + 1] as string);
  }
  return kept;
};
