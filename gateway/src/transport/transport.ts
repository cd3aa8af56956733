import type { Readable } from 'node:stream';
import type { FlatHeaders } from '../headers/header-lists.ts';

/** Bodies up to this go out with their head in one write; to copy a longer one costs more than a second write. */
export const smallBodyBytes = 16 * 1024;

/** A request as it goes to an upstream. */
export interface UpstreamRequest {
  method: string;
  /** Origin-form, sent byte for byte. */
  path: string;
  /**
   * Without hop-by-hop headers. `host` is added unless it is there. The transport alone frames the body: any
   * `content-length` or `transfer-encoding` in the list is left out.
   */
  headers: FlatHeaders;
  /** A stream is only read, never destroyed: when the exchange is over before its end, it is left paused. */
  body: Buffer | Readable | null;
  /** Length of a stream in bytes. Undefined: the stream is sent chunked. */
  contentLength?: number | undefined;
  /** Nobody else looks at what the stream brings: the transport may free it once it is written. Default: false. */
  ownsChunks?: boolean | undefined;
}

/** In milliseconds, kept to within a quarter of a second. */
export interface Timeouts {
  /** To an open connection. */
  connectMs: number;
  /** From the request sent to the final head of the response. */
  headMs: number;
  /** Between two pieces of the body, either way. Does not run while the sink has paused the response. */
  idleMs: number;
}

/** Hears one response. Never called before `send` has returned. */
export interface ResponseSink {
  /** Each 1xx response except 100 and 101. */
  onInformation?(status: number, headers: string[]): void;
  /** Once. */
  onHead(status: number, reason: string, headers: string[]): void;
  /** A piece of the body; the chunk is the sink's to keep or to free. False pauses until `exchange.resume()`. */
  onData(chunk: Buffer): boolean;
  /** Exactly one of `onEnd` and `onError` comes, and nothing after it. */
  onEnd(trailers: string[]): void;
  onError(error: UpstreamError): void;
}

/** One request on its way. */
export interface Exchange {
  /** The upstream has all that there is of a body that goes on: who is slow now is the client. */
  readonly awaitsBody: boolean;
  /** How long the upstream has had the whole request and not answered it, in milliseconds. */
  readonly waitedMs: number;
  /** Takes up a response that the sink has paused. */
  resume(): void;
  /** Frees the connection at once. The sink hears nothing more. */
  abort(): void;
}

export interface TransportStats {
  /** Connections, those that are being opened among them. */
  readonly open: number;
  /** Connections that wait for a request. */
  readonly idle: number;
  /** Exchanges that are not over. */
  readonly inFlight: number;
}

/** The way to one upstream. */
export interface Transport {
  send(request: UpstreamRequest, sink: ResponseSink, timeouts: Timeouts): Exchange;
  readonly stats: TransportStats;
  /**
   * Keeps no connection any longer than its request takes, and resolves when none is left. A request that comes later
   * is sent all the same: whoever was about to send one need not know.
   */
  close(): Promise<void>;
}

export interface TransportOptions {
  /** PEM certificates that an `https:` upstream's may be issued by, on top of those that Node trusts. */
  ca?: string | undefined;
  /** How many connections there may be at once; a request beyond that fails as `closed`. Default: 1024. */
  maxConnections?: number;
  /** How long an idle connection is kept when the upstream does not say, in milliseconds. Default: 4000. */
  idleConnectionMs?: number;
  /** How long an idle connection is kept at most, whatever the upstream says, in milliseconds. Default: 60000. */
  maxIdleConnectionMs?: number;
  clock?: Clock;
}

/** Time, as a parameter so that a test can give its own. */
export interface Clock {
  /** Milliseconds, never going back. */
  now(): number;
  /** Calls back at an interval, without keeping the process alive, until the returned function is called. */
  every(ms: number, callback: () => void): () => void;
}

export type UpstreamErrorKind =
  /** No connection: refused, unreachable, name not found. */
  | 'connect'
  | 'connect_timeout'
  | 'head_timeout'
  | 'idle_timeout'
  /** The upstream ended or reset the connection before the response was complete. */
  | 'reset'
  /** What the upstream sent is not HTTP/1.1, or what it should get is not. */
  | 'protocol'
  /** The body of the request broke off, or has not the length that was announced. */
  | 'body'
  /** The transport has all the connections that it may have, or the attempt was given up. */
  | 'closed';

export interface UpstreamErrorOptions {
  headReceived?: boolean;
  isClients?: boolean | undefined;
  cause?: unknown;
}

/** Why there is no complete response. */
export class UpstreamError extends Error {
  readonly kind: UpstreamErrorKind;
  /** The sink has heard `onHead`. */
  readonly headReceived: boolean;
  /** It is the client's doing, or may well be, and tells nothing about the upstream. Always so for `body` and `closed`. */
  readonly isClients: boolean;

  constructor(kind: UpstreamErrorKind, message: string, options: UpstreamErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'UpstreamError';
    this.kind = kind;
    this.headReceived = options.headReceived ?? false;
    this.isClients = options.isClients ?? (kind === 'body' || kind === 'closed');
  }
}
