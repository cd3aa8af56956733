import type { ServerResponse } from 'node:http';
import type { Transform } from 'node:stream';
import { withoutHeaders } from '../headers/header-lists.ts';
import { sortResponseHeaders } from '../headers/response-headers.ts';
import { cutOff } from './client-response.ts';
import { type Coding, encodeAnswer, ofUpstreamsBytes } from './compression.ts';
import { atEndOfTurn } from '../transport/end-of-turn.ts';
import { freeOnceWritten } from '../transport/free-chunk.ts';
import { type Exchange, type ResponseSink, smallBodyBytes, UpstreamError } from '../transport/transport.ts';

/** Who is told how far an answer is. */
export interface AnswerEvents {
  onHead(): void;
  onDone(error: UpstreamError | undefined): void;
}

/** What the gateway changes about an answer. */
export interface AnswerHeaders {
  /** A flat list of headers that it adds, after those of the upstream. */
  added: readonly string[];
  /** Lower-case names of headers that it removes, those that `added` replaces among them. */
  stripped: ReadonlySet<string>;
  /** Compresses text that the upstream did not. */
  compress: boolean;
  /** The coding that the client takes, when it does one that is known here. */
  coding: Coding | undefined;
}

/** Writes an upstream's answer straight to the client's response. */
export class ResponseWriter implements ResponseSink {
  /** Set by whoever sent the request. */
  exchange: Exchange | undefined;
  readonly #response: ServerResponse;
  readonly #answer: AnswerHeaders;
  readonly #events: AnswerEvents;
  #encoder: Transform | undefined;
  /** Body bytes that the head promised; -1 when it promised none. */
  #promised = -1;
  #headWritten = false;
  /** The body, when it came in one piece. */
  #whole: Buffer | undefined;
  #status = 0;
  #reason = '';
  #headers: string[] = [];

  constructor(response: ServerResponse, answer: AnswerHeaders, events: AnswerEvents) {
    this.#response = response;
    this.#answer = answer;
    this.#events = events;
  }

  onInformation(status: number, headers: string[]): void {
    if (status !== 103 || this.#response.req.httpVersion === '1.0') return;
    const values = headers.filter(
      (_, index) => index % 2 === 1 && headers[index - 1]?.toLowerCase() === 'link',
    );
    // One field may hold several, and Node takes each by itself.
    const links = values.flatMap((value) => value.split(/,\s*(?=<)/));
    if (links.length === 0) return;
    try {
      this.#response.writeEarlyHints({ link: links });
    } catch {
      // Node takes no malformed hint; the answer itself may be right.
    }
  }

  onHead(status: number, reason: string, rawHeaders: string[]): void {
    if (status > 599 && 'stream' in this.#response) {
      this.exchange?.abort();
      this.#events.onDone(
        new UpstreamError('protocol', `HTTP/2 has no status ${status}`, { isClients: true }),
      );
      return;
    }
    const { added, stripped, compress, coding } = this.#answer;
    const { headers, contentLength, hasDate } = sortResponseHeaders(rawHeaders, stripped);
    if (compress) this.#encodeBy(encodeAnswer(this.#response.req.method, status, headers, coding));
    for (const part of added) headers.push(part);
    this.#response.sendDate = !hasDate;
    this.#promised = contentLength;
    this.#status = status;
    this.#reason = reason;
    this.#headers = headers;
    this.#events.onHead();
    // The head waits for the first piece of the body, which most often is the only one.
    if (contentLength === -1 || contentLength > smallBodyBytes || this.#encoder) this.#takeHead();
  }

  onData(chunk: Buffer): boolean {
    if (!this.#headWritten) {
      if (!this.#takeHead()) return false;
      if (chunk.length === this.#promised) {
        this.#whole = chunk;
        return true;
      }
    }
    const target = this.#encoder ?? this.#response;
    const onWritten = this.#ownsWrites ? freeOnceWritten(chunk) : undefined;
    if (target.write(chunk, onWritten)) return true;
    target.once('drain', () => this.exchange?.resume());
    return false;
  }

  onEnd(trailers: string[]): void {
    const response = this.#response;
    if (!this.#headWritten && !this.#takeHead()) return;
    const whole = this.#whole;
    // Node joins a latin1 string with the head into one write; a buffer would be a second one.
    if (whole) atEndOfTurn(() => response.end(whole.toString('latin1'), 'latin1'));
    else {
      if (trailers.length > 0) this.#addTrailers(asPairs(this.#ownTrailers(trailers)));
      (this.#encoder ?? response).end();
    }
    this.#events.onDone(undefined);
  }

  onError(error: UpstreamError): void {
    if (this.#headWritten || error.headReceived) cutOff(this.#response);
    this.#events.onDone(error);
  }

  #addTrailers(trailers: [string, string][]): void {
    const response = this.#response;
    if (!('stream' in response)) {
      response.addTrailers(trailers);
      return;
    }
    const values = Map.groupBy(trailers, ([name]) => name.toLowerCase());
    const joined = [...values].map(([name, fields]) => [name, fields.map(([, value]) => value).join(', ')]);
    response.addTrailers(Object.fromEntries(joined) as Record<string, string>);
  }

  #ownTrailers(trailers: string[]): string[] {
    const kept = withoutHeaders(trailers, this.#answer.stripped);
    return this.#encoder ? withoutHeaders(kept, ofUpstreamsBytes) : kept;
  }

  /** A write is over when its bytes are. Over HTTP/2 a reset ends it while the session still sends parts of it. */
  get #ownsWrites(): boolean {
    return this.#encoder === undefined && !('stream' in this.#response);
  }

  #encodeBy(encoder: Transform | undefined): void {
    if (!encoder) return;
    this.#encoder = encoder;
    encoder.once('error', () => cutOff(this.#response));
    this.#response.once('close', () => encoder.destroy());
    encoder.pipe(this.#response);
  }

  /** False when the client cannot be told so: HTTP/2 has rules of its own, which upstreams need not know. */
  #takeHead(): boolean {
    try {
      this.#writeHead();
      return true;
    } catch (cause) {
      this.exchange?.abort();
      cutOff(this.#response);
      const options = { headReceived: true, isClients: true, cause };
      this.#events.onDone(new UpstreamError('protocol', 'the answer cannot be written', options));
      return false;
    }
  }

  #writeHead(): void {
    this.#headWritten = true;
    const response = this.#response;
    // HTTP/2 has no reason phrase, and warns of one.
    if ('stream' in response) response.writeHead(this.#status, eachOnce(this.#headers));
    else response.writeHead(this.#status, this.#reason, this.#headers);
  }
}

/** Fields of answers that are lists, and that Node takes once alone over HTTP/2: they are joined (RFC 9110 §5.3). */
const lists: ReadonlySet<string> = new Set(['content-encoding', 'content-language']);
/** Other fields that Node takes once alone: of several the last, as it is of those that the gateway adds. */
const singular: ReadonlySet<string> = new Set([
  ...['access-control-allow-credentials', 'access-control-max-age', 'access-control-request-method', 'age'],
  ...['authorization', 'content-length', 'content-location', 'content-md5', 'content-range', 'content-type'],
  ...['date', 'dnt', 'etag', 'expires', 'from', 'host', 'if-match', 'if-modified-since', 'if-none-match'],
  ...['if-range', 'if-unmodified-since', 'last-modified', 'location', 'max-forwards', 'proxy-authorization'],
  ...['range', 'referer', 'retry-after', 'tk', 'upgrade-insecure-requests', 'user-agent'],
  'x-content-type-options',
]);

const eachOnce = (headers: string[]): string[] => {
  const places = new Map<string, number>();
  const kept: string[] = [];
  for (const [name, value] of asPairs(headers)) {
    const key = name.toLowerCase();
    const place = places.get(key);
    if (place === undefined) {
      if (singular.has(key) || lists.has(key)) places.set(key, kept.length);
      kept.push(name, value);
    } else kept[place + 1] = lists.has(key) ? `${kept[place + 1]}, ${value}` : value;
  }
  return kept;
};

const asPairs = (flat: readonly string[]): [string, string][] =>
  Array.from({ length: flat.length / 2 }, (_, index) => [
    flat[2 * index] as string,
    flat[2 * index + 1] as string,
  ]);
