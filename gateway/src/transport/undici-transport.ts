import type { Socket } from 'node:net';
import { type Readable, Transform } from 'node:stream';
import { createSecureContext, getCACertificates } from 'node:tls';
import { buildConnector, Client, type Dispatcher, errors } from 'undici';
import { ConnectionPool } from './connection-pool.ts';
import { Deadlines } from './deadlines.ts';
import { atEndOfTurn } from './end-of-turn.ts';
import { BaseExchange, InFlight } from './exchange-base.ts';
import type { Transport, TransportOptions, UpstreamErrorKind, UpstreamRequest } from './transport.ts';

/** The way to an upstream through undici: `http:` and `https:`. */
export const createUndiciTransport = (origin: string, options: TransportOptions = {}): Transport => {
  const inFlight = new InFlight(new Deadlines(options.clock));
  const pool = new ConnectionPool<UndiciConnection>(options.maxConnections ?? 1024);
  // One for all, so that TLS sessions are taken up again.
  const connect = buildConnector({ timeout: 0, allowH2: false, ...trust(options.ca) });

  const takeConnection = (): UndiciConnection | undefined =>
    pool.take() ?? (pool.full ? undefined : pool.add(new UndiciConnection(origin, options, pool, connect)));

  return {
    send(request, sink, timeouts) {
      const exchange = new UndiciExchange(request, sink, timeouts, inFlight);
      const connection = takeConnection();
      if (connection) connection.dispatch(exchange);
      else exchange.fail('closed', 'too many connections');
      exchange.returned = true;
      return exchange;
    },
    get stats() {
      return { open: pool.open, idle: pool.idle, inFlight: inFlight.count };
    },
    close: () => pool.close(),
  };
};

const trust = (ca: string | undefined): buildConnector.BuildOptions =>
  ca === undefined
    ? {}
    : { secureContext: createSecureContext({ ca: [...getCACertificates('default'), ca] }) };

/**
 * One connection: an undici client of our own pool instead of undici's, because only so it is known which connection
 * carries a request, whether it was used before, and what to close when it is given up.
 */
class UndiciConnection {
  readonly client: Client;
  readonly #pool: ConnectionPool<UndiciConnection>;
  #exchange: UndiciExchange | undefined;
  #socket: Socket | undefined;

  constructor(
    origin: string,
    options: TransportOptions,
    pool: ConnectionPool<UndiciConnection>,
    connect: buildConnector.connector,
  ) {
    this.#pool = pool;
    this.client = new Client(origin, {
      headersTimeout: 0,
      bodyTimeout: 0,
      maxHeaderSize: 32 * 1024,
      keepAliveTimeout: options.idleConnectionMs ?? 4000,
      keepAliveMaxTimeout: options.maxIdleConnectionMs ?? 60_000,
      keepAliveTimeoutThreshold: 1000,
      // undici's connector does return its socket, which its type does not say.
      connect: (target, callback) => {
        this.#socket = connect(target, callback) as unknown as Socket;
      },
    });
    this.client.on('disconnect', () => {
      if (!this.#exchange) this.destroy();
    });
  }

  dispatch(exchange: UndiciExchange): void {
    this.#exchange = exchange;
    exchange.connection = this;
    const { method, path } = exchange.request;
    this.client.dispatch(
      { method, path, headers: framedHeaders(exchange.request), body: exchange.openBody() },
      exchange,
    );
  }

  /** The response is complete. */
  release(): void {
    this.#exchange = undefined;
    this.#pool.release(this);
  }

  destroy(): void {
    this.#exchange = undefined;
    this.#pool.drop(this);
    this.#socket?.on('error', () => {}).destroy(new Error('given up'));
    this.client.destroy().catch(() => {});
  }
}

class UndiciExchange extends BaseExchange implements Dispatcher.DispatchHandler {
  connection: UndiciConnection | undefined;
  #controller: Dispatcher.DispatchController | undefined;
  #body: RelayedBody | undefined;

  openBody(): Buffer | Readable | null {
    const { body, contentLength } = this.request;
    if (body === null || contentLength === 0 || Buffer.isBuffer(body)) return body;
    this.#body = new RelayedBody(body);
    return this.#body.relay;
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.over) {
      controller.abort(new Error('given up'));
      return;
    }
    this.progress.enter('sending');
    this.#body?.start();
  }

  onBodySent(): void {
    if (!this.progress.paused) this.progress.touch();
  }

  onRequestSent(): void {
    if (this.progress.phase === 'sending') this.progress.enter('waiting');
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    _headers: unknown,
    statusText = '',
  ): void {
    const headers = latin1Texts(controller.rawHeaders);
    if (status < 200) this.information(status, headers);
    else this.head(status, isReason(statusText) ? statusText : '', headers);
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    // undici says "nothing" when it takes up a paused body; a sink that answers false again would go in circles.
    if (chunk.length > 0 && !this.data(chunk) && !this.over) controller.pause();
  }

  onResponseEnd(controller: Dispatcher.DispatchController): void {
    this.#body?.letGo();
    this.end(latin1Texts(controller.rawTrailers));
    // After the sink: undici decides only now whether the connection can go on.
    this.connection?.release();
  }

  onResponseError(_controller: unknown, error: Error): void {
    const kind = this.#body?.broken ? 'body' : this.#failureKind(error);
    this.fail(kind, `${this.progress.phase}: ${error.message}`, error);
  }

  #failureKind(error: Error): UpstreamErrorKind {
    const { InvalidArgumentError, NotSupportedError, SocketError } = errors;
    if (error instanceof InvalidArgumentError || error instanceof NotSupportedError) return 'protocol';
    if (this.progress.phase === 'connecting') return 'connect';
    if (error instanceof errors.RequestContentLengthMismatchError) return 'body';
    // Said of any malformed head with a length, and of a body that ended early.
    if (error instanceof errors.ResponseContentLengthMismatchError)
      return this.headReceived ? 'reset' : 'protocol';
    if (error instanceof errors.HTTPParserError)
      return error.message.includes('Invalid EOF state') ? 'reset' : 'protocol';
    if (error instanceof SocketError) return error.message.startsWith('bad ') ? 'protocol' : 'reset';
    return error instanceof errors.HeadersOverflowError ? 'protocol' : 'reset';
  }

  protected override resumeReading(): void {
    this.#controller?.resume();
  }

  protected override takesMore(): boolean {
    return this.#body?.takesMore ?? false;
  }

  protected override disconnect(): void {
    this.#body?.letGo();
    this.connection?.destroy();
  }
}

/**
 * A body that undici may destroy, as it does whenever a request ends early, fed from one that it may not, at the end of a
 * turn: what an upstream has answered early has to be read before a write fails.
 */
class RelayedBody {
  readonly relay = new Transform({
    transform: (chunk: Buffer, _encoding, done) => atEndOfTurn(() => done(null, chunk)),
  });
  broken = false;
  readonly #source: Readable;

  constructor(source: Readable) {
    this.#source = source;
    this.relay.on('error', () => {});
  }

  /** undici has taken all that there is. */
  get takesMore(): boolean {
    return this.relay.readableLength === 0 && this.relay.writableLength === 0;
  }

  start(): void {
    this.#source.on('error', this.#onBroken).on('close', this.#onBroken);
    if (this.#source.destroyed) this.#onBroken();
    else this.#source.pipe(this.relay);
  }

  letGo(): void {
    this.#source.off('error', this.#onBroken).off('close', this.#onBroken);
    this.#source.unpipe(this.relay);
    this.relay.destroy();
  }

  readonly #onBroken = (error?: Error): void => {
    if (this.#source.readableEnded) return;
    this.broken = true;
    this.relay.destroy(error ?? new Error('the body of the request broke off'));
  };
}

const framedHeaders = ({ headers, contentLength, body }: UpstreamRequest): string[] => {
  const framed: string[] = [];
  for (let index = 0; index < headers.length; index += 2) {
    const name = headers[index] as string;
    if (/^(?:content-length|transfer-encoding)$/i.test(name)) continue;
    framed.push(name, headers[index + 1] as string);
  }
  if (contentLength !== undefined && body !== null && !Buffer.isBuffer(body)) {
    framed.push('content-length', String(contentLength));
  }
  return framed;
};

const latin1Texts = (raw: Dispatcher.DispatchController['rawHeaders']): string[] =>
  ((raw ?? []) as Buffer[]).map((octets) => octets.toString('latin1'));

const isReason = (text: string): boolean => /^[\t\x20-\x7e\x80-\xff]*$/.test(text);
