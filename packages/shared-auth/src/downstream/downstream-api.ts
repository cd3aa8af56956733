import { bulkhead, BulkheadRejectedError } from 'cockatiel';
import { assertNumbers, type NumberBounds } from '../assert-number.ts';
import { contextHeadersOf } from '../context-headers.ts';
import type { AuthObserver } from '../observer.ts';
import { parseRetryAfter } from '../retry-after.ts';
import type { AcquiredToken, TokenSource } from '../token-source.ts';
import { claimsOfChallenge } from './challenge.ts';
import { DownstreamError, parseProblem } from './downstream-error.ts';
import { createResilientSend } from './resilience.ts';
import { createTransport, type HttpResponse, type PreparedRequest } from './transport.ts';

export interface DownstreamApiOptions {
  /** How errors and metrics call it. */
  name: string;
  /** Every request stays below this address: https, or plain http to this machine. */
  baseUrl: URL | string;
  /**
   * Takes a plain http `baseUrl` of another machine too, where everybody on the way can read the token: for a network
   * that encrypts by itself, such as a cluster's. Default false.
   */
  allowPlainHttp?: boolean;
  /** `<App ID URI of the API>/.default`. */
  scope: string;
  tokens: TokenSource;
  /** PEM certificates to trust in addition to those that Node trusts by default. */
  ca?: string;
  /** Bound on one attempt, in milliseconds. Default 10,000. */
  timeoutMs?: number;
  /** Bound on an answer, in bytes. Default 10 MiB. */
  maxBodyBytes?: number;
  /** Further attempts for idempotent methods. Default 2. */
  maxRetries?: number;
  /** Retries as a share of calls, over time. Default 0.1. */
  retryShare?: number;
  /** Calls at the same time. Default 100. */
  maxConcurrent?: number;
  /** Calls that wait for their turn. Default 100; more are refused at once. */
  maxQueued?: number;
  /** Failures in a row that open the circuit. Default 10. */
  failuresToOpen?: number;
  /** How long an open circuit refuses calls, in milliseconds. Default 5,000. */
  openMs?: number;
  observer?: AuthObserver;
  /** Milliseconds since 1970. Default `Date.now`. */
  clock?: () => number;
  /** Waits between attempts. Default a timer. */
  sleep?: (ms: number) => Promise<void>;
  /** Spreads retries; from 0 to 1. Default `Math.random`. */
  random?: () => number;
}

export interface DownstreamRequest {
  /** Default GET. */
  method?: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Relative to the base address. */
  path: string;
  query?: Readonly<Record<string, string>>;
  /** Also `x-request-id`, `traceparent` and `tracestate`, which go to Entra as well if it is asked. */
  headers?: Readonly<Record<string, string>>;
  /** Sent as JSON. */
  json?: unknown;
  signal?: AbortSignal;
}

/** A success (2xx) or 304. */
export interface DownstreamResponse {
  readonly status: number;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
  /** The body as JSON. @throws DownstreamError when it is none */
  json(): unknown;
  readonly attempts: number;
  readonly token: { readonly fromCache: boolean; readonly durationMs: number };
}

/** An API that is called with tokens of this application. */
export interface DownstreamApi {
  /**
   * @throws {@link DownstreamError} when the API brings no success
   * @throws IdentityUnavailableError, TokenAcquisitionError without a token; then nothing was sent
   * @throws the reason of `signal` (an AbortError unless another was given) when it gives the call up
   * @throws TypeError for a reserved or malformed header, a body that is no JSON, or a path that leaves the base address
   */
  request(request: DownstreamRequest): Promise<DownstreamResponse>;
  /** Closes idle connections. */
  close(): void;
}

const failureOf = (status: number): 'downstream_unavailable' | 'downstream_refused' | 'downstream_failed' => {
  if (status === 503 || status === 429) return 'downstream_unavailable';
  return status === 401 || status === 403 ? 'downstream_refused' : 'downstream_failed';
};

interface CallNote {
  attempts: number;
  status: number | undefined;
}

const timer = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

const bounds: NumberBounds = {
  timeoutMs: [1, 600_000],
  maxBodyBytes: [1, 2 ** 30],
  maxRetries: [0, 10],
  retryShare: [0, 1],
  maxConcurrent: [1, 1_000_000],
  maxQueued: [0, 1_000_000],
  failuresToOpen: [1, 1_000_000],
  openMs: [1, 3_600_000],
};

/** Makes a client for one API: token, time limits, retries within a budget, bounded concurrency, circuit breaker. */
export const createDownstreamApi = ({
  name,
  baseUrl,
  allowPlainHttp = false,
  scope,
  tokens,
  ca,
  timeoutMs = 10_000,
  maxBodyBytes = 10 * 1024 * 1024,
  maxRetries = 2,
  retryShare = 0.1,
  maxConcurrent = 100,
  maxQueued = 100,
  failuresToOpen = 10,
  openMs = 5000,
  observer = {},
  clock = Date.now,
  sleep = timer,
  random = Math.random,
}: DownstreamApiOptions): DownstreamApi => {
  const limits = { maxRetries, retryShare, failuresToOpen, openMs };
  assertNumbers({ ...limits, timeoutMs, maxBodyBytes, maxConcurrent, maxQueued }, bounds);
  const transport = createTransport({ name, baseUrl, allowPlainHttp, ca, timeoutMs, maxBodyBytes });
  const send = createResilientSend({ name, transport, ...limits, observer, clock, sleep, random });
  const turns = bulkhead(maxConcurrent, maxQueued);

  const parseJson = (status: number, body: string): unknown => {
    try {
      return JSON.parse(body) as unknown;
    } catch {
      const logFields = { reason: 'the answer is not JSON' };
      throw new DownstreamError('downstream_failed', { service: name, status }, { logFields });
    }
  };

  const toResponse = (
    { statusCode: status, headers, body }: HttpResponse,
    { fromCache, durationMs }: AcquiredToken,
    { attempts }: CallNote,
  ): DownstreamResponse => {
    if ((status >= 200 && status < 300) || status === 304) {
      const json = (): unknown => parseJson(status, body);
      return { status, headers, body, json, attempts, token: { fromCache, durationMs } };
    }
    const kind = failureOf(status);
    const retryAfterSeconds =
      kind === 'downstream_unavailable' ? (parseRetryAfter(headers['retry-after'], clock()) ?? 5) : undefined;
    throw new DownstreamError(kind, parseProblem(name, status, body), {
      retryAfterSeconds,
      body,
      answerHeaders: headers,
    });
  };

  const call = async (request: PreparedRequest, note: CallNote): Promise<DownstreamResponse> => {
    request.signal?.throwIfAborted();
    const headers = contextHeadersOf(request.headers);
    const token = await tokens.getToken({ scope, headers });
    let response = await send(request, token.accessToken, note);
    if (response.statusCode === 401) {
      // Answered once: with the claims that it asks for, or with a token that it may not know as withdrawn.
      const claims = claimsOfChallenge(response.headers['www-authenticate']);
      const answer = claims === undefined ? { refused: token.accessToken } : { claims };
      const other = await tokens.getToken({ scope, headers, ...answer }).catch(() => token);
      if (other.accessToken !== token.accessToken) response = await send(request, other.accessToken, note);
    }
    note.status = response.statusCode;
    return toResponse(response, token, note);
  };

  return {
    async request(request) {
      const prepared = transport.prepare(request);
      const { method } = prepared;
      const note: CallNote = { attempts: 0, status: undefined };
      const startMs = performance.now();
      try {
        return await turns.execute(() => call(prepared, note));
      } catch (error) {
        if (!(error instanceof BulkheadRejectedError)) throw error;
        const options = { retryAfterSeconds: 1, logFields: { queue: 'full' } };
        throw new DownstreamError('downstream_unavailable', { service: name }, options);
      } finally {
        const durationMs = performance.now() - startMs;
        observer.downstreamCalled?.({ api: name, method, ...note, durationMs });
      }
    },
    close: () => transport.close(),
  };
};
