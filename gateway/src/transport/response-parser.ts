import { ChunkedBody } from './chunked-body.ts';
import {
  hasBareLf,
  maxHeadBytes,
  parseHead,
  type ResponseHead,
  ResponseSyntaxError,
} from './response-head.ts';

export interface ResponseEvents {
  /** A 1xx response other than 100 and 101. */
  onInformation(status: number, headers: string[]): void;
  onHead(head: ResponseHead): void;
  /** A piece of the body, the receiver's to keep or to free. False holds the rest back until `resume()`. */
  onBody(chunk: Buffer): boolean;
  /** @param clean nothing came after the response, and it frames itself. */
  onComplete(trailers: string[], clean: boolean): void;
  /** 101, and what came after it. Without this method a 101 is an error. */
  onUpgrade?(head: ResponseHead, rest: Buffer): void;
}

type State = 'idle' | 'head' | 'fixed' | 'chunked' | 'until-close' | 'upgraded';

// 1xx responses without end would keep a connection busy; the number of those heard is bounded elsewhere.
const maxContinues = 16;
const headEnd = Buffer.from('\r\n\r\n');
const versionPrefix = 'HTTP/1.';

/** Reads the responses of one connection, one at a time, from pieces cut anywhere. */
export class ResponseParser {
  readonly #events: ResponseEvents;
  #state: State = 'idle';
  #isHead = false;
  #partialHead: Buffer | undefined;
  #continueCount = 0;
  #remaining = 0;
  #announcedButAbsent = false;
  #chunks: ChunkedBody | undefined;
  #held: Buffer | undefined;

  constructor(events: ResponseEvents) {
    this.#events = events;
  }

  /** Expects a response to a request with this method. */
  start(method: string): void {
    this.#state = 'head';
    this.#isHead = method === 'HEAD';
    this.#partialHead = undefined;
    this.#continueCount = 0;
    this.#announcedButAbsent = false;
    this.#held = undefined;
  }

  /**
   * Takes a piece. It is only looked at during the call.
   *
   * @returns false when the rest is held back.
   * @throws {ResponseSyntaxError}
   */
  execute(chunk: Buffer): boolean {
    let offset = 0;
    while (true) {
      switch (this.#state) {
        case 'head': {
          const next = this.#readHead(chunk, offset);
          if (next < 0) return true;
          offset = next;
          break;
        }
        case 'fixed': {
          if (this.#remaining === 0) return this.#complete([], chunk.length - offset, true);
          if (offset === chunk.length) return true;
          const end = Math.min(chunk.length, offset + this.#remaining);
          this.#remaining -= end - offset;
          const piece = copy(chunk, offset, end);
          offset = end;
          if (!this.#events.onBody(piece)) return this.#hold(chunk, offset);
          break;
        }
        case 'chunked': {
          const body = this.#chunks as ChunkedBody;
          offset = body.execute(chunk, offset);
          if (body.data) {
            if (!this.#events.onBody(copy(chunk, body.data.start, body.data.end)))
              return this.#hold(chunk, offset);
          } else if (body.trailers) return this.#complete(body.trailers, chunk.length - offset, true);
          else return true;
          break;
        }
        case 'until-close':
          if (offset === chunk.length || this.#events.onBody(copy(chunk, offset, chunk.length))) return true;
          return this.#hold(chunk, chunk.length);
        default:
          if (offset < chunk.length) throw new ResponseSyntaxError('bytes without a request');
          return true;
      }
    }
  }

  /** Goes on with what was held back. */
  resume(): boolean {
    const held = this.#held;
    this.#held = undefined;
    return held === undefined || this.execute(held);
  }

  /** The connection has ended. False when a response is not complete. */
  finish(): boolean {
    if (this.#state === 'until-close') this.#complete([], 0, false);
    return this.#state === 'idle';
  }

  #hold(chunk: Buffer, offset: number): boolean {
    this.#held = copy(chunk, offset, chunk.length);
    return false;
  }

  #complete(trailers: string[], extraBytes: number, framed: boolean): boolean {
    this.#state = 'idle';
    this.#events.onComplete(trailers, framed && extraBytes === 0 && !this.#announcedButAbsent);
    return true;
  }

  /** @returns where the body begins, -1 while the head is not complete. */
  #readHead(chunk: Buffer, offset: number): number {
    const earlier = this.#partialHead;
    const known = earlier?.length ?? 0;
    const bytes = earlier ? Buffer.concat([earlier, chunk.subarray(offset)]) : chunk;
    const start = earlier ? 0 : offset;
    const end = bytes.indexOf(headEnd, Math.max(start, known - 3));
    const length = (end < 0 ? bytes.length : end) - start;
    if (length > maxHeadBytes) throw new ResponseSyntaxError('head too large');
    if (end < 0) {
      checkPartialHead(bytes, start, known);
      this.#partialHead = earlier ? bytes : copy(bytes, start, bytes.length);
      return -1;
    }
    this.#partialHead = undefined;
    const next = earlier ? offset + end + 4 - known : end + 4;
    this.#takeHead(parseHead(bytes.toString('latin1', start, end + 2)), chunk, next);
    return this.#state === 'upgraded' ? chunk.length : next;
  }

  #takeHead(head: ResponseHead, chunk: Buffer, bodyStart: number): void {
    const { status, framing } = head;
    if (status < 200) {
      this.#takeInformation(head, chunk, bodyStart);
      return;
    }
    if (this.#isHead || status === 204 || status === 304) {
      // A server that sends it all the same would answer the next request with it.
      this.#announcedButAbsent = framing === 'chunked' || (typeof framing === 'number' && framing > 0);
      this.#remaining = 0;
      this.#state = 'fixed';
    } else if (framing === 'chunked') {
      this.#chunks = new ChunkedBody();
      this.#state = 'chunked';
    } else if (framing === 'until-close') this.#state = 'until-close';
    else {
      this.#remaining = framing;
      this.#state = 'fixed';
    }
    this.#events.onHead(head);
  }

  #takeInformation(head: ResponseHead, chunk: Buffer, bodyStart: number): void {
    if (head.framing !== 'until-close') throw new ResponseSyntaxError('a 1xx response with a body');
    if (head.status === 101) {
      if (!this.#events.onUpgrade) throw new ResponseSyntaxError('an upgrade that nobody asked for');
      this.#state = 'upgraded';
      this.#events.onUpgrade(head, copy(chunk, bodyStart, chunk.length));
    } else if (head.status === 100) {
      this.#continueCount += 1;
      if (this.#continueCount > maxContinues) throw new ResponseSyntaxError('too many 100 responses');
    } else this.#events.onInformation(head.status, head.headers);
  }
}

// What can be no head any more is refused at once: waiting for its end would turn garbage into a timeout.
const checkPartialHead = (bytes: Buffer, start: number, known: number): void => {
  const length = Math.min(bytes.length - start, versionPrefix.length);
  if (bytes.toString('latin1', start, start + length) !== versionPrefix.slice(0, length)) {
    throw new ResponseSyntaxError('not an HTTP/1 response');
  }
  if (hasBareLf(bytes, start, known)) throw new ResponseSyntaxError('a line that ends in a bare LF');
};

// The connection reads into one buffer that all connections share, so that 1,000 idle ones cost no buffers.
const copy = (chunk: Buffer, start: number, end: number): Buffer => Buffer.from(chunk.subarray(start, end));
