/** Flat list: name, value, name, value. Octets as latin1 characters. */
export type FlatHeaders = readonly string[];

/** Headers that concern one connection alone and end at each hop (RFC 9110 §7.6.1). */
export const ofThisHop: ReadonlySet<string> = new Set([
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

/**
 * Adds what a `Connection` names to what those before it named. `keep-alive` and `close` are no names of headers; most
 * messages have nothing else here.
 */
export const namedByConnection = (
  value: string,
  before: Set<string> | undefined,
): Set<string> | undefined => {
  const lower = value.toLowerCase();
  if (lower === 'keep-alive' || lower === 'close') return before;
  const names = before ?? new Set();
  for (const name of lower.split(',')) names.add(name.trim());
  return names;
};

/** The length of a body that is none, or is framed anew. */
export const contentLengthAlone: ReadonlySet<string> = new Set(['content-length']);

/** A list without the headers of these lower-case names. */
export const withoutHeaders = (headers: readonly string[], names: ReadonlySet<string>): string[] => {
  const kept: string[] = [];
  for (let index = 0; index < headers.length; index += 2) {
    const name = headers[index] as string;
    if (!names.has(name.toLowerCase())) kept.push(name, headers[index + 1] as string);
  }
  return kept;
};

/** Remembers what was found for a name as it is spelled: the same few come with every message. */
export class KindsByName<Kind> {
  readonly #known = new Map<string, Kind>();
  readonly #kindOf: (key: string) => Kind;

  constructor(kindOf: (key: string) => Kind) {
    this.#kindOf = kindOf;
  }

  of(name: string): Kind {
    const known = this.#known.get(name);
    if (known !== undefined) return known;
    const kind = this.#kindOf(name.toLowerCase());
    // Clients can make up names without end.
    if (this.#known.size < 500) this.#known.set(name, kind);
    return kind;
  }
}
