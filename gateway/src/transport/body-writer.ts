import type { Socket } from 'node:net';
import type { Readable } from 'node:stream';

export interface BodyWriterEvents {
  /** Something went out. */
  onProgress(): void;
  /** The whole body is written. */
  onWritten(): void;
  onBroken(message: string, cause?: unknown): void;
}

/**
 * Writes a stream as the body of a request, no faster than the socket takes it. The stream belongs to somebody else:
 * it is read and paused, never destroyed.
 */
export class BodyWriter {
  readonly #source: Readable;
  readonly #socket: Socket;
  readonly #events: BodyWriterEvents;
  /** Undefined: chunked. */
  #remaining: number | undefined;

  constructor(source: Readable, length: number | undefined, socket: Socket, events: BodyWriterEvents) {
    this.#source = source;
    this.#remaining = length;
    this.#socket = socket;
    this.#events = events;
  }

  start(): void {
    const source = this.#source;
    if (source.readableEnded) this.#onEnd();
    else if (source.destroyed) this.#onClose();
    else {
      source.on('error', this.#onError).on('close', this.#onClose).on('end', this.#onEnd);
      source.on('data', this.#onData).resume();
      this.#socket.on('drain', this.#onDrain);
    }
  }

  letGo(): void {
    const source = this.#source;
    source.off('error', this.#onError).off('close', this.#onClose).off('end', this.#onEnd);
    source.off('data', this.#onData).pause();
    this.#socket.off('drain', this.#onDrain);
  }

  readonly #onData = (data: Buffer | string): void => {
    const chunk = typeof data === 'string' ? Buffer.from(data) : data;
    if (chunk.length === 0) return; // written as a chunk it would end the body
    if (this.#remaining === undefined) {
      if (!this.#writeChunk(chunk)) this.#source.pause();
    } else if (chunk.length > this.#remaining) {
      this.#break('the body of the request is longer than announced');
      return;
    } else {
      this.#remaining -= chunk.length;
      if (!this.#socket.write(chunk)) this.#source.pause();
    }
    this.#events.onProgress();
  };

  #writeChunk(chunk: Buffer): boolean {
    const socket = this.#socket;
    socket.cork();
    socket.write(`${chunk.length.toString(16)}\r\n`, 'latin1');
    socket.write(chunk);
    const more = socket.write('\r\n', 'latin1');
    socket.uncork();
    return more;
  }

  readonly #onDrain = (): void => {
    this.#events.onProgress();
    this.#source.resume();
  };

  readonly #onEnd = (): void => {
    if (this.#remaining !== undefined && this.#remaining > 0) {
      this.#break('the body of the request is shorter than announced');
      return;
    }
    this.letGo();
    if (this.#remaining === undefined) this.#socket.write('0\r\n\r\n', 'latin1');
    this.#events.onWritten();
  };

  readonly #onError = (error: unknown): void => this.#break('the body of the request broke off', error);

  readonly #onClose = (): void => this.#break('the body of the request broke off');

  #break(message: string, cause?: unknown): void {
    this.letGo();
    this.#events.onBroken(message, cause);
  }
}
