import type { IncomingMessage, ServerResponse } from 'node:http';
import { ProblemError } from '@countersign/service-kit';
import type { Route } from '../routes/route-schema.ts';
import type { UpstreamError, UpstreamRequest } from '../transport/transport.ts';
import type { Endpoint } from '../upstream/endpoint.ts';
import type { Upstream } from '../upstream/upstream.ts';
import { ClientGoneError, type RequestBody } from './request-body.ts';
import { ResponseWriter } from './response-sink.ts';

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
  /** Headers to add to the answer. */
  added: readonly string[];
  /** Lower-case names of headers to remove from it. */
  stripped: ReadonlySet<string>;
  /** Adds to the request's completion record. Called before the answer can be over. */
  note: (fields: Readonly<Record<string, unknown>>) => void;
}

/** Methods that may be sent twice (RFC 9110 §9.2.2). */
const idempotentMethods: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE']);

/**
 * Sends a request to an upstream and streams its answer to the client, with backpressure both ways. A client that goes
 * away cancels the upstream's work at once. Idempotent requests go to another address, within the upstream's budget,
 * when one gave no answer and nothing of a streamed body was sent.
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
    if (!endpoint) throw unavailable(upstream);
    attempts += 1;
    const { error, headReceived } = await attempt(options, endpoint, attempts);
    if (!error || headReceived) return error;
    const again =
      attempts <= route.retries &&
      mayRepeat(error, request.method as string, options.body) &&
      !options.response.destroyed &&
      upstream.retries.withdraw();
    if (!again) throw bodyProblem(options.body) ?? toProblem(error, endpoint.origin, attempts);
    failed = endpoint;
  }
};

/**
 * A request that certainly was not seen may always be sent again, unless its body is a stream that was read; one that
 * may have been seen only when its method is idempotent.
 */
const mayRepeat = (error: UpstreamError, method: string, { body }: RequestBody): boolean => {
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

const attempt = (options: ExchangeOptions, endpoint: Endpoint, attempts: number): Promise<Outcome> =>
  new Promise((resolve, reject) => {
    const { request, response, route, path, headers, body, added, stripped, note } = options;
    const startMs = performance.now();
    let headReceived = false;
    let total: NodeJS.Timeout | undefined;
    let settled = false;

    const finish = (worked: boolean | undefined, settle: () => void): void => {
      if (settled) return;
      settled = true;
      clearTimeout(total);
      response.off('close', onClientGone);
      response.off('drain', onDrain);
      endpoint.end(worked);
      settle();
    };
    const writer = new ResponseWriter({
      response,
      added,
      stripped,
      onHead: () => {
        headReceived = true;
        note({
          upstream_address: endpoint.origin,
          upstream_duration_ms: Math.round((performance.now() - startMs) * 1_000) / 1_000,
          ...(attempts > 1 && { attempts }),
        });
      },
      onDone: (error) => {
        if (error && headReceived) note({ 'error.type': 'upstream_broke_off', cause: error.kind });
        finish(isOurFault(error) ? undefined : error === undefined, () => resolve({ headReceived, error }));
      },
    });
    const breakOff = (worked: boolean | undefined, error: Error): void => {
      writer.exchange?.abort();
      if (headReceived) response.destroy();
      finish(worked, () => reject(error));
    };
    const onClientGone = (): void => {
      // A response that ended closes, too; what is left of the answer then is only its end.
      if (!response.writableFinished) breakOff(undefined, new ClientGoneError());
    };
    const onDrain = (): void => writer.exchange?.resume();
    response.on('close', onClientGone);
    response.on('drain', onDrain);

    if (response.destroyed) {
      endpoint.begin();
      finish(undefined, () => reject(new ClientGoneError()));
      return;
    }
    endpoint.begin();
    const upstreamRequest: UpstreamRequest = {
      method: request.method as string,
      path,
      headers: [...headers, 'Host', endpoint.host],
      body: body.body,
      contentLength: body.contentLength,
    };
    writer.exchange = endpoint.transport.send(upstreamRequest, writer, route.timeouts);
    if (route.timeouts.totalMs !== undefined) {
      total = setTimeout(() => breakOff(false, timedOut(endpoint.origin)), route.timeouts.totalMs);
    }
  });

/** A client that sends half a body says nothing about the upstream. */
const isOurFault = (error: UpstreamError | undefined): boolean =>
  error?.kind === 'body' || error?.kind === 'closed';

export const unavailable = (upstream: Upstream): ProblemError =>
  new ProblemError('The service behind is not available now.', {
    status: 503,
    code: 'upstream_unavailable',
    headers: { 'Retry-After': String(upstream.retryAfterSeconds()) },
    logFields: { cause: 'no address of the upstream may be tried now' },
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
  return new ProblemError('The service behind did not answer.', {
    status: 502,
    code: error.kind === 'protocol' ? 'upstream_invalid' : 'upstream_unreachable',
    logFields: { upstream_address: origin, attempts, cause: error.kind },
    cause: error,
  });
};
