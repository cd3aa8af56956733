import type { Clock, ResponseSink, UpstreamError, UpstreamRequest } from '../../src/transport/transport.ts';

/** Remembers what it hears, and tells when it is over. */
export class RecordingSink implements ResponseSink {
  readonly information: { status: number; headers: string[] }[] = [];
  status: number | undefined;
  reason: string | undefined;
  headers: string[] = [];
  trailers: string[] | undefined;
  error: UpstreamError | undefined;
  bytes = 0;
  readonly chunks: Buffer[] = [];
  /** How often anything was heard after the end, or a second head: never. */
  wrong = 0;
  /** What `onData` answers. */
  takesMore = true;
  readonly head = Promise.withResolvers<void>();
  readonly firstData = Promise.withResolvers<void>();
  readonly #over = Promise.withResolvers<void>();

  get over(): Promise<void> {
    return this.#over.promise;
  }

  get body(): string {
    return Buffer.concat(this.chunks).toString('latin1');
  }

  /** In one word: the kind of the error, or the status and the length of the body. */
  get outcome(): string {
    return this.error ? this.error.kind : `${this.status} ${this.body}`;
  }

  onInformation(status: number, headers: string[]): void {
    this.#check(this.status === undefined);
    this.information.push({ status, headers });
  }

  onHead(status: number, reason: string, headers: string[]): void {
    this.#check(this.status === undefined);
    Object.assign(this, { status, reason, headers });
    this.head.resolve();
  }

  onData(chunk: Buffer): boolean {
    this.#check(this.status !== undefined);
    this.bytes += chunk.length;
    this.chunks.push(chunk);
    this.firstData.resolve();
    return this.takesMore;
  }

  onEnd(trailers: string[]): void {
    this.#check(this.status !== undefined);
    this.trailers = trailers;
    this.#over.resolve();
  }

  onError(error: UpstreamError): void {
    this.#check(true);
    this.error = error;
    this.#over.resolve();
  }

  #check(expected: boolean): void {
    if (!expected || this.trailers || this.error) this.wrong += 1;
  }
}

/** A clock that goes when it is told to. */
export class ManualClock implements Clock {
  #now = 0;
  readonly #calls = new Set<{ ms: number; dueAt: number; callback: () => void }>();

  now(): number {
    return this.#now;
  }

  every(ms: number, callback: () => void): () => void {
    const call = { ms, dueAt: this.#now + ms, callback };
    this.#calls.add(call);
    return () => this.#calls.delete(call);
  }

  /** Goes on without anybody being called back. */
  pass(ms: number): void {
    this.#now += ms;
  }

  /** Goes on, and everybody is called back then, at whatever interval they asked for. */
  advance(ms: number): void {
    this.pass(ms);
    for (const { callback } of this.#calls) callback();
  }

  /** Goes on by a millisecond; those are called back whose interval is over. */
  tick(): void {
    this.pass(1);
    for (const call of this.#calls) {
      if (call.dueAt > this.#now) continue;
      call.dueAt += call.ms;
      call.callback();
    }
  }
}

export const timeouts = { connectMs: 1000, headMs: 2000, idleMs: 3000 };

export const get: UpstreamRequest = { method: 'GET', path: '/', headers: ['accept', '*/*'], body: null };
