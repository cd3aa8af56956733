import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import { atEndOfTurn } from './end-of-turn.ts';
import { freeOnceWritten } from './free-chunk.ts';
import type { UpstreamRequest } from './transport.ts';

export interface BodyWriterEvents {
  /** Something went out. */
  onProgress(): void;
  /** The whole body is written. */
  onWritten(): void;
  onBroken(message: string, cause?: unknown): void;
}

const pieceBytes = 64 * 1024;

/**
 * Writes the body of a request, no faster than the socket takes it. A stream belongs to somebody else: it is read and
 * paused, never destroyed. One piece is written in a turn of the event loop: where an upstream has answered early and
 * closed, the write after the next fails, and what it has answered has to be read before.
 */
export class BodyWriter {
  readonly #source: Readable;
  readonly #socket: Socket;
  readonly #events: BodyWriterEvents;
  readonly #ownsChunks: boolean;
  /** Undefined: chunked. */
  #remaining: number | undefined;
  #over = false;
  /** The piece that waits for the end of the turn. */
  #next: Buffer | undefined;
  #ended = false;
  #blocked = false;

  constructor(
    body: Buffer | Readable,
    { contentLength, ownsChunks = false }: UpstreamRequest,
    socket: Socket,
    events: BodyWriterEvents,
  ) {
    const whole = Buffer.isBuffer(body);
    // In pieces, because only between them it shows that the upstream still takes something.
    this.#source = whole ? Readable.from(pieces(body)) : body;
    this.#remaining = whole ? body.length : contentLength;
    this.#ownsChunks = ownsChunks && !whole;
    this.#socket = socket;
    this.#events = events;
  }

  start(): void {
    const source = this.#source;
    if (source.readableEnded) this.#finish();
    else if (source.destroyed) this.#onClose();
    else {
      source.on('error', this.#onError).on('close', this.#onClose).on('end', this.#onEnd);
      source.on('data', this.#onData).resume();
      this.#socket.on('drain', this.#onDrain);
    }
  }

  letGo(): void {
    this.#over = true;
    this.#stopReading();
    this.#socket.off('drain', this.#onDrain);
  }

  #stopReading(): void {
    const source = this.#source;
    source.off('error', this.#onError).off('close', this.#onClose).off('end', this.#onEnd);
    source.off('data', this.#onData).pause();
  }

  readonly #onData = (data: Buffer | string): void => {
    const chunk = typeof data === 'string' ? Buffer.from(data) : data;
    if (chunk.length === 0) return; // written as a chunk it would end the body
    this.#source.pause();
    this.#next = chunk;
    atEndOfTurn(this.#writeNext);
  };

  readonly #onEnd = (): void => {
    // The stream may close before its last piece is written.
    this.#stopReading();
    this.#ended = true;
    if (!this.#next) this.#finish();
  };

  readonly #writeNext = (): void => {
    if (this.#over || !this.#next) return;
    const chunk = this.#next;
    this.#next = undefined;
    this.#socket.cork();
    this.#blocked = !this.#write(chunk);
    if (this.#ended) this.#finish();
    this.#socket.uncork();
    if (!this.#over && !this.#blocked) this.#source.resume();
  };

  /** All that there is of the body is with the system. */
  get takesMore(): boolean {
    return !this.#next && !this.#blocked;
  }

  /** False when no more is to be written now, or at all. */
  #write(chunk: Buffer): boolean {
    const onWritten = this.#ownsChunks ? freeOnceWritten(chunk) : undefined;
    let more: boolean;
    if (this.#remaining === undefined) more = this.#writeChunk(chunk, onWritten);
    else if (chunk.length > this.#remaining) {
      this.#break('the body of the request is longer than announced');
      return false;
    } else {
      this.#remaining -= chunk.length;
      more = this.#socket.write(chunk, onWritten);
    }
    this.#events.onProgress();
    return more;
  }

  #writeChunk(chunk: Buffer, onWritten: ((error?: Error | null) => void) | undefined): boolean {
    const socket = this.#socket;
    socket.cork();
    socket.write(`${chunk.length.toString(16)}\r\n`, 'latin1');
    socket.write(chunk, onWritten);
    const more = socket.write('\r\n', 'latin1');
    socket.uncork();
    return more;
  }

  readonly #onDrain = (): void => {
    this.#blocked = false;
    this.#events.onProgress();
    this.#source.resume();
  };

  #finish(): void {
    if (this.#over) return;
    if (this.#remaining !== undefined && this.#remaining > 0) {
      this.#break('the body of the request is shorter than announced');
      return;
    }
    this.letGo();
    if (this.#remaining === undefined) this.#socket.write('0\r\n\r\n', 'latin1');
    this.#events.onWritten();
  }

  readonly #onError = (error: unknown): void => this.#break('the body of the request broke off', error);

  readonly #onClose = (): void => this.#break('the body of the request broke off');

  #break(message: string, cause?: unknown): void {
    this.letGo();
    this.#events.onBroken(message, cause);
  }
}

const pieces = function* (body: Buffer): Generator<Buffer> {
  for (let start = 0; start < body.length; start += pieceBytes)
    yield body.subarray(start, start + pieceBytes);
};
