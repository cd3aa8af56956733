import { connect, type Socket } from 'node:net';
import type { Readable } from 'node:stream';
import { BodyWriter, type BodyWriterEvents } from './body-writer.ts';
import type { ConnectionPool } from './connection-pool.ts';
import type { Deadlines, Timed } from './deadlines.ts';
import { atEndOfTurn } from './end-of-turn.ts';
import type { Http1Exchange } from './http1-exchange.ts';
import { requestHead } from './request-head.ts';
import type { ResponseHead } from './response-head.ts';
import { type ResponseEvents, ResponseParser } from './response-parser.ts';
import { smallBodyBytes, type UpstreamRequest } from './transport.ts';

export interface ConnectionOptions {
  host: string;
  port: number;
  /** What the `Host` header says unless the request has one. */
  authority: string;
  idleMs: number;
  maxIdleMs: number;
  deadlines: Deadlines;
  pool: ConnectionPool<Connection>;
}

// Shared by all connections: it is filled and emptied within one callback.
const readBuffer = Buffer.allocUnsafeSlow(64 * 1024);

/** One HTTP/1.1 connection to an upstream, which carries one exchange at a time. */
export class Connection implements ResponseEvents, BodyWriterEvents, Timed {
  readonly #options: ConnectionOptions;
  readonly #socket: Socket;
  readonly #parser = new ResponseParser(this);
  #exchange: Http1Exchange | undefined;
  #body: BodyWriter | undefined;
  #connected = false;
  /** The request has begun to be written. */
  #asked = false;
  #requestWritten = false;
  #reusable = false;
  #idleMs: number;
  #expiresAt = Infinity;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#idleMs = options.idleMs;
    this.#socket = connect({
      host: options.host,
      port: options.port,
      noDelay: true,
      onread: { buffer: readBuffer, callback: (size) => this.#onRead(size) },
    });
    this.#socket
      .on('connect', () => this.#onConnect())
      .on('end', () => this.#onEnd())
      .on('error', (error: NodeJS.ErrnoException) => this.#onGone(error.message || `${error.code}`, error))
      .on('close', () => this.#onGone('the connection was closed'));
    options.deadlines.add(this);
  }

  get expired(): boolean {
    return this.#options.deadlines.clock.now() >= this.#expiresAt;
  }

  /** Everything that there is of the request's body went out, and there is more to come. */
  get takesMore(): boolean {
    return this.#body?.takesMore ?? false;
  }

  /** Sends the request of an exchange, at once or as soon as the connection is open. */
  carry(exchange: Http1Exchange): void {
    this.#exchange = exchange;
    this.#expiresAt = Infinity;
    if (this.#connected) this.#write(exchange);
  }

  resume(): void {
    try {
      if (this.#parser.resume()) this.#socket.resume();
    } catch (error) {
      this.#onMisread(error);
    }
  }

  destroy(): void {
    this.#exchange = undefined;
    this.#body?.letGo();
    this.#body = undefined;
    this.#socket.destroy();
    this.#options.deadlines.delete(this);
    this.#options.pool.drop(this);
  }

  checkDeadline(now: number): void {
    if (now >= this.#expiresAt) this.destroy();
  }

  #onConnect(): void {
    this.#connected = true;
    if (this.#exchange) this.#write(this.#exchange);
    else this.destroy();
  }

  #write(exchange: Http1Exchange): void {
    const { request, progress } = exchange;
    let head: string;
    try {
      head = requestHead(request, this.#options.authority);
    } catch (error) {
      exchange.fail('protocol', 'the request cannot be written', error);
      return;
    }
    this.#asked = false;
    this.#requestWritten = false;
    this.#parser.start(request.method);
    progress.enter('sending');

    const { body } = request;
    if (body === null || request.contentLength === 0) this.#writeWhole(head);
    else if (Buffer.isBuffer(body) && body.length <= smallBodyBytes) {
      this.#writeWhole(head + body.toString('latin1'));
    } else this.#writeParts(head, body, request);
  }

  #writeWhole(text: string): void {
    atEndOfTurn(() => {
      this.#asked = true;
      this.#socket.write(text, 'latin1');
      this.onWritten();
    });
  }

  #writeParts(head: string, body: Buffer | Readable, request: UpstreamRequest): void {
    this.#asked = true;
    this.#socket.write(head, 'latin1');
    this.#body = new BodyWriter(body, request, this.#socket, this);
    this.#body.start();
  }

  onProgress(): void {
    this.#exchange?.progress.touch();
  }

  onWritten(): void {
    this.#requestWritten = true;
    this.#body = undefined;
    if (this.#exchange?.progress.phase === 'sending') this.#exchange.progress.enter('waiting');
  }

  onBroken(message: string, cause?: unknown): void {
    this.#exchange?.fail('body', message, cause);
  }

  #onRead(size: number): boolean {
    if (!this.#exchange || !this.#asked) {
      // Nobody asked: it would be taken for the answer to the next request.
      this.#exchange?.fail('reset', 'the upstream answered before it was asked');
      this.destroy();
      return false;
    }
    try {
      return this.#parser.execute(readBuffer.subarray(0, size));
    } catch (error) {
      this.#onMisread(error);
      return false;
    }
  }

  /** The parser refuses what it reads, or a sink has thrown, which must not end the process either. */
  #onMisread(error: unknown): void {
    this.#exchange?.fail('protocol', (error as Error).message, error);
    this.destroy();
  }

  #onEnd(): void {
    try {
      if (!this.#parser.finish() || this.#exchange) this.#onGone('the upstream ended the connection');
      else this.destroy();
    } catch (error) {
      this.#onMisread(error);
    }
  }

  #onGone(message: string, cause?: unknown): void {
    const exchange = this.#exchange;
    if (exchange) exchange.fail(this.#connected ? 'reset' : 'connect', message, cause);
    else this.destroy();
  }

  onInformation(status: number, headers: string[]): void {
    this.#exchange?.information(status, headers);
  }

  onHead(head: ResponseHead): void {
    this.#reusable = head.persistent;
    const { keepAliveSeconds } = head;
    if (keepAliveSeconds !== undefined) {
      // A second less than the upstream: it must not close what a request is just being written to.
      this.#idleMs = Math.min((keepAliveSeconds - 1) * 1000, this.#options.maxIdleMs);
    }
    this.#exchange?.head(head.status, head.reason, head.headers);
  }

  onBody(chunk: Buffer): boolean {
    return this.#exchange?.data(chunk) ?? false;
  }

  onComplete(trailers: string[], clean: boolean): void {
    const exchange = this.#exchange;
    if (!exchange) return;
    if (clean && this.#reusable && this.#requestWritten && this.#idleMs > 0) this.#release();
    else this.destroy();
    exchange.end(trailers);
  }

  #release(): void {
    this.#exchange = undefined;
    this.#expiresAt = this.#options.deadlines.clock.now() + this.#idleMs;
    this.#options.pool.release(this);
  }
}
