import type { IncomingMessage } from 'node:http';

/** Headers that concern one connection alone and end at each hop (RFC 9110 §7.6.1). */
export const hopByHopHeaders: ReadonlySet<string> = new Set([
  'connection', // names further ones
  'keep-alive', // RFC 2068 §19.7.1: about this connection
  'proxy-connection', // the same, from old clients
  'te', // which transfer codings this hop takes
  'trailer', // announces trailers, which are not forwarded
  'transfer-encoding', // each side frames for itself: passing it on is how requests are smuggled
  'upgrade', // switches the protocol of this hop
  'proxy-authenticate', // asks this hop's client to authenticate to the proxy
  'proxy-authorization', // credentials for this proxy, not for the upstream
  'expect', // answered by this hop's server
]);

/** Headers that the gateway alone may say, because upstreams believe them. */
const isReserved = (name: string): boolean =>
  name.startsWith('x-forwarded-') ||
  name.startsWith('x-ms-') || // Azure's front ends put identities here
  name.includes('_') || // CGI-style servers read X_Forwarded_For as X-Forwarded-For
  reservedHeaders.has(name);

const reservedHeaders: ReadonlySet<string> = new Set([
  'forwarded',
  'host', // told as X-Forwarded-Host; the upstream gets its own name
  'traceparent',
  'tracestate',
  'via',
  'x-original-url', // some frameworks route by it
  'x-real-ip',
  'x-request-id',
  'x-rewrite-url', // as x-original-url
]);

const namedByConnection = (connection: string | undefined): ReadonlySet<string> =>
  new Set(connection?.split(',').map((name) => name.trim().toLowerCase()));

/** Headers that the end of a connection must not be able to have removed by naming them in `Connection`. */
const endToEndHeaders: ReadonlySet<string> = new Set(['authorization', 'content-length', 'host']);

/**
 * The headers of a request as an upstream gets them: a flat list of names and values, in their order.
 *
 * @param ours headers that the gateway sets, by lower-case name.
 */
export const requestHeaders = (
  request: IncomingMessage,
  ours: Readonly<Record<string, string>>,
): string[] => {
  const named = namedByConnection(request.headers.connection);
  const headers: string[] = [];
  for (let index = 0; index < request.rawHeaders.length; index += 2) {
    const name = request.rawHeaders[index] as string;
    const lowerCase = name.toLowerCase();
    const dropped =
      hopByHopHeaders.has(lowerCase) ||
      isReserved(lowerCase) ||
      (named.has(lowerCase) && !endToEndHeaders.has(lowerCase));
    if (!dropped) headers.push(name, request.rawHeaders[index + 1] as string);
  }
  for (const [name, value] of Object.entries(ours)) headers.push(name, value);
  return headers;
};

/** The headers of an upstream's answer as the client gets them: a flat list of names and values. */
export const responseHeaders = (rawHeaders: readonly (Buffer | string)[]): string[] => {
  const texts = rawHeaders.map((part) => (typeof part === 'string' ? part : part.toString('latin1')));
  const connection = texts.find(
    (_, index) => texts[index - 1]?.toLowerCase() === 'connection' && index % 2 === 1,
  );
  const named = namedByConnection(connection);
  const headers: string[] = [];
  for (let index = 0; index < texts.length; index += 2) {
    const name = texts[index] as string;
    const lowerCase = name.toLowerCase();
    if (hopByHopHeaders.has(lowerCase) || named.has(lowerCase) || lowerCase === 'x-request-id') continue;
    headers.push(name, texts[index + 1] as string);
  }
  return headers;
};
