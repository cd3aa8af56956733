import type { IncomingMessage, ServerResponse } from 'node:http';
import { ProblemError } from '@countersign/service-kit';
import { isHttp2 } from '../request-target.ts';
import type { Route } from '../routes/route-schema.ts';
import type { UpstreamError, UpstreamRequest } from '../transport/transport.ts';
import type { Endpoint, EndpointUse } from '../upstream/endpoint.ts';
import type { Upstream } from '../upstream/upstream.ts';
import { cutOff, isGone } from './client-response.ts';
import { ClientGoneError, type RequestBody, tooSlow } from './request-body.ts';
import { type AnswerEvents, type AnswerHeaders, ResponseWriter } from './response-writer.ts';

export interface ExchangeOptions {
  request: IncomingMessage;
  response: ServerResponse;
  route: Route;
  upstream: Upstream;
  /** Path and query for the upstream. */
  path: string;
  /** Headers for the upstream, without `Host`. */
  headers: readonly string[];
  body: RequestBody;
  /** When it has to be over, of `performance.now()`. */
  endsAtMs: number | undefined;
  answer: AnswerHeaders;
  /** The request's completion record gets these. Added to before the answer can be over. */
  logFields: Record<string, unknown>;
  /** Told when the wait of an attempt for its head is over, come or not, with `performance.now()` of when it began. */
  onAnswered?: ((startMs: number) => void) | undefined;
}

/** Methods that may be sent twice (RFC 9110 §9.2.2). */
const idempotentMethods: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE']);

/**
 * Sends a request to an upstream and streams its answer to the client, with backpressure both ways. A client that goes
 * away cancels the upstream's work at once. What may be sent again is, within the upstream's budget, when there
 * was no answer: to another address where there is one.
 *
 * @returns why the answer broke off after its head, if it did.
 * @throws {ProblemError} 502, 503 or 504 when there is no answer; nothing has left for the client then.
 * @throws {ClientGoneError} when the client went away first.
 */
export const exchange = async (options: ExchangeOptions): Promise<UpstreamError | undefined> => {
  const { route, upstream, request } = options;
  upstream.retries.deposit();
  let attempts = 0;
  let failed: Endpoint | undefined;
  for (;;) {
    const endpoint = upstream.choose(failed);
    if (!endpoint) throw unavailable(upstream, upstream.whyNone());
    attempts += 1;
    const { error, headReceived } = await new Attempt(options, endpoint, attempts).outcome;
    if (!error || headReceived) return error;
    const again =
      attempts <= route.retries &&
      mayRepeat(error, request.method as string, options.body) &&
      !isGone(options.response) &&
      upstream.retries.withdraw();
    if (!again) throw bodyProblem(options.body) ?? toProblem(error, endpoint.origin, attempts);
    options.logFields['retried_after'] = error.kind;
    failed = endpoint;
  }
};

/**
 * A request that certainly was not seen may always be sent again, unless its body is a stream that was read; one that
 * may have been seen only when its method is idempotent.
 */
const mayRepeat = (error: UpstreamError, method: string, { body }: RequestBody): boolean => {
  // The upstream has answered, or has nothing to do with it.
  if (error.isClients) return false;
  const bodyIsWhole = body === null || Buffer.isBuffer(body);
  if (error.kind === 'connect' || error.kind === 'connect_timeout') return bodyIsWhole;
  return (
    bodyIsWhole && idempotentMethods.has(method) && error.kind !== 'head_timeout' && error.kind !== 'body'
  );
};

/** What was wrong with a streamed body, where that is what broke the exchange off. */
const bodyProblem = ({ body }: RequestBody): ProblemError | undefined =>
  body !== null && !Buffer.isBuffer(body) && body.errored instanceof ProblemError ? body.errored : undefined;

interface Outcome {
  headReceived: boolean;
  error: UpstreamError | undefined;
}

/** A request sent to one address, until its answer is over or nobody waits for it any more. */
class Attempt implements AnswerEvents {
  readonly #options: ExchangeOptions;
  readonly #endpoint: Endpoint;
  readonly #use: EndpointUse;
  /** How many there were, with this one. */
  readonly #attempts: number;
  readonly #outcome = Promise.withResolvers<Outcome>();
  readonly #writer: ResponseWriter;
  readonly #startMs = performance.now();
  #headReceived = false;
  #settled = false;
  #total: NodeJS.Timeout | undefined;

  constructor(options: ExchangeOptions, endpoint: Endpoint, attempts: number) {
    this.#options = options;
    this.#endpoint = endpoint;
    this.#use = endpoint.begin();
    this.#attempts = attempts;
    this.#writer = new ResponseWriter(options.response, options.answer, this);
    this.#start();
  }

  /** Rejects when nobody waits for the answer any more, or its time is over. */
  get outcome(): Promise<Outcome> {
    return this.#outcome.promise;
  }

  #start(): void {
    const { request, response, route, path, headers, body, endsAtMs } = this.#options;
    const endpoint = this.#endpoint;
    if (isGone(response)) {
      this.#breakOff(undefined, new ClientGoneError());
      return;
    }
    // First of all: the record is written when the response closes, too, and says how long the client has waited.
    response.prependListener('close', () => {
      // A response that ended closes, too; what is left of the answer then is only its end.
      if (!this.#settled && !response.writableEnded) this.#breakOff(undefined, new ClientGoneError());
    });
    const upstreamRequest: UpstreamRequest = {
      method: request.method as string,
      path,
      headers: ['Host', endpoint.host, ...headers],
      body: body.body,
      contentLength: body.contentLength,
      // Of HTTP/2, Node hands out parts of what it has read, and may not be through with it.
      ownsChunks: !isHttp2(request),
    };
    this.#writer.exchange = endpoint.transport.send(upstreamRequest, this.#writer, route.timeouts);
    if (endsAtMs !== undefined) {
      this.#total = setTimeout(() => this.#endOfTime(), endsAtMs - performance.now());
    }
  }

  #endOfTime(): void {
    if (this.#writer.exchange?.awaitsBody) {
      this.#breakOff(undefined, tooSlow());
      return;
    }
    const { timeouts } = this.#options.route;
    // Once it answers, it may well be the client that takes its time, as when the upstream was given little of it.
    const waitedMs = this.#writer.exchange?.waitedMs ?? 0;
    const worked = !this.#headReceived && waitedMs >= (timeouts.totalMs ?? 0) / 2 ? false : undefined;
    this.#breakOff(worked, timedOut(this.#endpoint.origin));
  }

  onHead(): void {
    this.#headReceived = true;
    this.#use.answered();
    this.#noteWait();
    if (this.#attempts > 1) this.#options.logFields['attempts'] = this.#attempts;
  }

  /** The wait for a head is over. That of an attempt before this one was one for the upstream as well. */
  #noteWait(): void {
    const { logFields, onAnswered } = this.#options;
    const earlierMs = (logFields['upstream_duration_ms'] ?? 0) as number;
    const ms = earlierMs + performance.now() - this.#startMs;
    logFields['upstream_address'] = this.#endpoint.origin;
    logFields['upstream_duration_ms'] = Math.round(ms * 1_000) / 1_000;
    onAnswered?.(this.#startMs);
  }

  onDone(error: UpstreamError | undefined): void {
    const headReceived = this.#headReceived;
    if (error && headReceived) {
      Object.assign(this.#options.logFields, { 'error.type': 'upstream_broke_off', cause: error.kind });
    }
    this.#finish(error?.isClients ? undefined : error === undefined, error?.kind);
    this.#outcome.resolve({ headReceived, error });
  }

  #breakOff(worked: boolean | undefined, error: Error): void {
    this.#writer.exchange?.abort();
    if (this.#headReceived) cutOff(this.#options.response);
    this.#finish(worked, 'total_timeout');
    this.#outcome.reject(error);
  }

  /** @param worked undefined when the attempt tells nothing about the address */
  #finish(worked: boolean | undefined, cause: string | undefined): void {
    if (this.#settled) return;
    this.#settled = true;
    if (!this.#headReceived && this.#writer.exchange) this.#noteWait();
    if (this.#total) clearTimeout(this.#total);
    this.#use.end(worked, cause);
  }
}

export const unavailable = (upstream: Upstream, cause: string): ProblemError =>
  new ProblemError('The service behind is not available now.', {
    status: 503,
    code: 'upstream_unavailable',
    headers: { 'Retry-After': String(upstream.retryAfterSeconds()) },
    logFields: { cause },
  });

const timedOut = (origin: string, cause?: UpstreamError): ProblemError =>
  new ProblemError('The service behind took too long.', {
    status: 504,
    code: 'upstream_timeout',
    logFields: { upstream_address: origin, cause: cause?.kind ?? 'total_timeout' },
    cause,
  });

/** What the client is told of an exchange that brought no answer. */
export const toProblem = (error: UpstreamError, origin: string, attempts: number): ProblemError => {
  if (error.kind === 'head_timeout' || error.kind === 'idle_timeout' || error.kind === 'connect_timeout') {
    return timedOut(origin, error);
  }
  if (error.kind === 'body') {
    return new ProblemError('The body of this request broke off.', {
      status: 400,
      code: 'invalid_request',
      cause: error,
    });
  }
  if (error.kind === 'closed') {
    return new ProblemError('The service behind is not available now.', {
      status: 503,
      code: 'upstream_unavailable',
      headers: { 'Retry-After': '1' },
      logFields: { upstream_address: origin, attempts, cause: error.kind },
      cause: error,
    });
  }
  return new ProblemError('The service behind did not answer.', {
    status: 502,
    code: error.kind === 'protocol' ? 'upstream_invalid' : 'upstream_unreachable',
    logFields: { upstream_address: origin, attempts, cause: error.kind },
    cause: error,
  });
};
