import { contentLengthAlone, ofThisHop, withoutHeaders } from '../headers/header-lists.ts';
import { answeredByGateway } from '../headers/response-headers.ts';
import { type Deadlines, Progress, type Timed } from './deadlines.ts';
import {
  type Exchange,
  type ResponseSink,
  type Timeouts,
  UpstreamError,
  type UpstreamErrorKind,
  type UpstreamRequest,
} from './transport.ts';

// RFC 9110 §15.2 sets no bound. A server has a handful of them to say; an endless row would hold the connection.
const maxInformation = 16;

/** The exchanges of one transport that are not over. */
export class InFlight {
  readonly deadlines: Deadlines;
  count = 0;

  constructor(deadlines: Deadlines) {
    this.deadlines = deadlines;
  }
}

/** What every exchange does, whichever client carries it: the sink hears the truth, once, and in time. */
export abstract class BaseExchange implements Exchange, Timed {
  readonly request: UpstreamRequest;
  readonly progress: Progress;
  over = false;
  headReceived = false;
  /** `send` has returned: the sink may be called. */
  returned = false;
  readonly #sink: ResponseSink;
  readonly #inFlight: InFlight;
  #informationCount = 0;

  constructor(request: UpstreamRequest, sink: ResponseSink, timeouts: Timeouts, inFlight: InFlight) {
    this.request = request;
    this.#sink = sink;
    this.#inFlight = inFlight;
    this.progress = new Progress(inFlight.deadlines.clock, timeouts);
    inFlight.count += 1;
    inFlight.deadlines.add(this);
  }

  /** Takes the response up again after `progress.paused`. */
  protected abstract resumeReading(): void;

  get waitedMs(): number {
    return this.progress.waitedMs;
  }

  get awaitsBody(): boolean {
    return this.progress.phase === 'sending' && this.takesMore();
  }

  /** Whether all that there is of a body went out, and there is a body. */
  protected abstract takesMore(): boolean;

  /** Lets go of the request's body and closes the connection. */
  protected abstract disconnect(): void;

  resume(): void {
    if (this.over || !this.progress.paused) return;
    this.progress.paused = false;
    this.progress.touch();
    this.resumeReading();
  }

  abort(): void {
    if (this.over) return;
    this.finish();
    this.disconnect();
  }

  checkDeadline(now: number): void {
    const kind = this.progress.overdue(now);
    if (kind === undefined) return;
    if (this.awaitsBody) this.fail('body', 'the body of the request stopped');
    else this.fail(kind, `the upstream took too long: ${this.progress.phase}`);
  }

  /** Ends the exchange with an error, unless it is over. */
  fail(kind: UpstreamErrorKind, message: string, cause?: unknown): void {
    if (this.over) return;
    const { headReceived } = this;
    // An upstream need not wait for ever for a client that is slow to send, or to take the answer.
    const isClients = kind === 'reset' && (this.awaitsBody || this.progress.everPaused) ? true : undefined;
    const error = new UpstreamError(kind, message, { headReceived, isClients, cause });
    this.finish();
    this.disconnect();
    if (this.returned) this.#sink.onError(error);
    else queueMicrotask(() => this.#sink.onError(error));
  }

  information(status: number, headers: string[]): void {
    this.#informationCount += 1;
    if (this.#informationCount > maxInformation) this.fail('protocol', 'too many 1xx responses');
    else this.#sink.onInformation?.(status, headers);
  }

  head(status: number, reason: string, headers: string[]): void {
    this.headReceived = true;
    this.progress.enter('receiving');
    // RFC 9110 §8.6: 204 has no length, and whoever believes it waits for a body that does not come.
    this.#sink.onHead(status, reason, status === 204 ? withoutHeaders(headers, contentLengthAlone) : headers);
  }

  /** False when reading has to pause, or is over. */
  data(chunk: Buffer): boolean {
    this.progress.touch();
    if (!this.#sink.onData(chunk) && !this.over) this.progress.pause();
    return !this.progress.paused && !this.over;
  }

  end(trailers: string[]): void {
    if (this.over) return;
    this.finish();
    this.#sink.onEnd(trailers.length === 0 ? trailers : withoutHeaders(trailers, notInTrailers));
  }

  protected finish(): void {
    this.over = true;
    this.#inFlight.count -= 1;
    this.#inFlight.deadlines.delete(this);
  }
}

/** Fields that come too late in a trailer, were put there to be believed (RFC 9110 §6.5.1), or may not stand in a head. */
const notInTrailers: ReadonlySet<string> = new Set([
  ...ofThisHop,
  ...answeredByGateway,
  'content-encoding', // says how to read what was read already, as the next two
  'content-range',
  'content-type',
  'host', // routes
  'set-cookie', // authenticates
]);
