import { connect, type Socket } from 'node:net';
import { Deadlines, Progress, type Timed } from './deadlines.ts';
import { requestHead } from './request-head.ts';
import type { ResponseHead } from './response-head.ts';
import { type ResponseEvents, ResponseParser } from './response-parser.ts';
import {
  type Clock,
  type Timeouts,
  UpstreamError,
  type UpstreamErrorKind,
  type UpstreamRequest,
} from './transport.ts';

export interface UpgradeOptions {
  clock?: Clock;
  /** Gives the attempt up. */
  signal?: AbortSignal;
}

export interface UpgradeAnswer {
  status: number;
  reason: string;
  headers: string[];
  /** For 101: the connection, paused, which is the caller's from now on. Otherwise null, and it is closed. */
  socket: Socket | null;
  /** For 101: what came after the response. Otherwise the body of the refusal. */
  head: Buffer;
}

// A refusal is a short text; one that is longer is no reason to buffer it.
const maxRefusalBytes = 64 * 1024;

/**
 * Asks an `http:` upstream for another protocol (RFC 9110 §7.8), on a connection of its own.
 *
 * @param request with its `connection` and `upgrade` headers, and without a body.
 * @throws {UpstreamError} when there is no complete answer.
 */
export const upgrade = (
  origin: string,
  request: UpstreamRequest,
  timeouts: Timeouts,
  { clock, signal }: UpgradeOptions = {},
): Promise<UpgradeAnswer> => {
  const { hostname, port, host, protocol } = new URL(origin);
  if (protocol !== 'http:') throw new TypeError(`not an http: origin: ${origin}`);
  const head = requestHead(request, host);
  return new Promise((resolve, reject) => {
    const socket = connect({
      host: hostname.replace(/^\[(.*)\]$/, '$1'),
      port: Number(port || 80),
      noDelay: true,
    });
    const attempt = new Attempt(socket, timeouts, new Deadlines(clock), { resolve, reject });
    attempt.start(head, request.method, signal);
  });
};

interface Outcome {
  resolve(answer: UpgradeAnswer): void;
  reject(error: UpstreamError): void;
}

class Attempt implements ResponseEvents, Timed {
  readonly #socket: Socket;
  readonly #deadlines: Deadlines;
  readonly #progress: Progress;
  readonly #outcome: Outcome;
  readonly #parser = new ResponseParser(this);
  #refusal: ResponseHead | undefined;
  #body: Buffer[] = [];
  #bodyBytes = 0;

  constructor(socket: Socket, timeouts: Timeouts, deadlines: Deadlines, outcome: Outcome) {
    this.#socket = socket;
    this.#deadlines = deadlines;
    this.#progress = new Progress(deadlines.clock, timeouts);
    this.#outcome = outcome;
    deadlines.add(this);
  }

  start(head: string, method: string, signal: AbortSignal | undefined): void {
    this.#socket.on('connect', () => {
      this.#parser.start(method);
      this.#socket.write(head, 'latin1');
      this.#progress.enter('waiting');
    });
    this.#socket.on('data', (chunk: Buffer) => {
      this.#parse(() => this.#parser.execute(chunk));
    });
    this.#socket.on('end', () => {
      if (!this.#parse(() => this.#parser.finish())) this.#fail('reset', 'the upstream ended the connection');
    });
    this.#socket.on('error', (error) =>
      this.#fail(this.#progress.phase === 'connecting' ? 'connect' : 'reset', error.message, error),
    );
    const giveUp = (): void => this.#fail('closed', 'given up');
    if (signal?.aborted) giveUp();
    else signal?.addEventListener('abort', giveUp, { once: true });
  }

  checkDeadline(now: number): void {
    const kind = this.#progress.overdue(now);
    if (kind !== undefined) this.#fail(kind, `the upstream took too long: ${this.#progress.phase}`);
  }

  #parse(step: () => boolean): boolean {
    try {
      return step();
    } catch (error) {
      this.#fail('protocol', (error as Error).message, error);
      return true;
    }
  }

  #fail(kind: UpstreamErrorKind, message: string, cause?: unknown): void {
    this.#deadlines.delete(this);
    this.#socket.destroy();
    const headReceived = this.#refusal !== undefined;
    this.#outcome.reject(new UpstreamError(kind, message, { headReceived, cause }));
  }

  onInformation(): void {}

  onUpgrade({ status, reason, headers }: ResponseHead, rest: Buffer): void {
    this.#deadlines.delete(this);
    const socket = this.#socket.pause();
    for (const event of ['connect', 'data', 'end', 'error']) socket.removeAllListeners(event);
    this.#outcome.resolve({ status, reason, headers, socket, head: rest });
  }

  onHead(head: ResponseHead): void {
    this.#refusal = head;
    this.#progress.enter('receiving');
  }

  onBody(chunk: Buffer): boolean {
    this.#progress.touch();
    this.#bodyBytes += chunk.length;
    this.#body.push(chunk);
    if (this.#bodyBytes > maxRefusalBytes) this.#fail('protocol', 'the refusal is too long');
    return true;
  }

  onComplete(): void {
    this.#deadlines.delete(this);
    this.#socket.destroy();
    const { status, reason, headers } = this.#refusal as ResponseHead;
    this.#outcome.resolve({ status, reason, headers, socket: null, head: Buffer.concat(this.#body) });
  }
}
