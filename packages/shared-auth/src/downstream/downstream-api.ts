import {
  BrokenCircuitError,
  bulkhead,
  BulkheadRejectedError,
  circuitBreaker,
  ConsecutiveBreaker,
  handleAll,
} from 'cockatiel';
import got, { RequestError, TimeoutError, type Response } from 'got';
import { createHttpsAgent } from '../https-agent.ts';
import type { AuthObserver } from '../observer.ts';
import { parseRetryAfter } from '../retry-after.ts';
import type { TokenSource } from '../token-source.ts';
import { claimsOfChallenge } from './challenge.ts';
import { DownstreamError, parseProblem } from './downstream-error.ts';
import { assertNoReservedHeader } from './reserved-headers.ts';
import { createRetryBudget } from './retry-budget.ts';

export interface DownstreamApiOptions {
  /** How errors and metrics call it. */
  name: string;
  /** Every request stays below this address. */
  baseUrl: URL | string;
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
   * @throws TypeError for a reserved header, or a path that leaves the base address
   */
  request(request: DownstreamRequest): Promise<DownstreamResponse>;
  /** Closes idle connections. */
  close(): void;
}

const idempotent = new Set(['GET', 'HEAD', 'PUT', 'DELETE']);
const contextHeaders = ['x-request-id', 'traceparent', 'tracestate'];
/** Answers after which another attempt may succeed at once. */
const retriable = new Set([429, 502, 503, 504]);
const firstDelayMs = 100;
/** A server that wants to be left alone for longer is not asked again within one call. */
const maxDelayMs = 2000;

const resolveBelow = (base: URL, { path, query }: DownstreamRequest): URL => {
  const url = new URL(path.replace(/^\/+/, ''), base);
  if (url.origin !== base.origin || !url.pathname.startsWith(base.pathname)) {
    throw new TypeError(`the path ${path} leaves the base address`);
  }
  for (const [name, value] of Object.entries(query ?? {})) url.searchParams.append(name, value);
  return url;
};

const pick = (headers: Readonly<Record<string, string>>, names: readonly string[]): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).filter(([name]) => names.includes(name.toLowerCase())));

const failureOf = (status: number): 'downstream_unavailable' | 'downstream_refused' | 'downstream_failed' => {
  if (status === 503 || status === 429) return 'downstream_unavailable';
  return status === 401 || status === 403 ? 'downstream_refused' : 'downstream_failed';
};

type HttpResponse = Response<string>;

/** Makes a client for one API: token, time limits, retries within a budget, bounded concurrency, circuit breaker. */
export const createDownstreamApi = (options: DownstreamApiOptions): DownstreamApi => {
  const {
    name,
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
    sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    random = Math.random,
  } = options;
  const base = new URL(new URL(options.baseUrl).href.replace(/\/?$/, '/'));
  const agent = createHttpsAgent(ca);
  const http = got.extend({
    agent: { https: agent },
    timeout: { request: timeoutMs },
    retry: { limit: 0 },
    throwHttpErrors: false,
    // A redirect would carry the token to wherever it points.
    followRedirect: false,
  });
  const budget = createRetryBudget(retryShare, 10);
  const turns = bulkhead(maxConcurrent, maxQueued);
  const circuit = circuitBreaker(
    handleAll.orWhenResult((result) => (result as HttpResponse).statusCode >= 500),
    { halfOpenAfter: openMs, breaker: new ConsecutiveBreaker(failuresToOpen) },
  );
  circuit.onBreak(() => observer.circuitChanged?.({ api: name, isOpen: true }));
  circuit.onReset(() => observer.circuitChanged?.({ api: name, isOpen: false }));

  const send = (request: DownstreamRequest, accessToken: string): Promise<HttpResponse> => {
    const { method = 'GET', headers, json, signal } = request;
    const tooLarge = new AbortController();
    const signals = signal ? [signal, tooLarge.signal] : [tooLarge.signal];
    const pending = http(resolveBelow(base, request), {
      method,
      headers: {
        accept: 'application/json',
        ...headers,
        ...(json !== undefined && { 'content-type': 'application/json' }),
        authorization: `Bearer ${accessToken}`,
      },
      ...(json !== undefined && { body: JSON.stringify(json) }),
      signal: AbortSignal.any(signals),
    }).on('downloadProgress', ({ transferred }) => {
      if (transferred > maxBodyBytes) tooLarge.abort();
    });
    return pending;
  };

  /** Ours, not the other side's: without got's request, on which the token hangs. */
  const toDownstreamError = (error: unknown): unknown => {
    const unavailable = { retryAfterSeconds: Math.ceil(openMs / 1000) };
    if (error instanceof BrokenCircuitError) {
      return new DownstreamError(
        'downstream_unavailable',
        { service: name },
        { ...unavailable, logFields: { circuit: 'open' } },
      );
    }
    if (error instanceof BulkheadRejectedError) {
      return new DownstreamError(
        'downstream_unavailable',
        { service: name },
        { retryAfterSeconds: 1, logFields: { queue: 'full' } },
      );
    }
    if (!(error instanceof RequestError)) return error;
    const { code, message } = error;
    const kind = error instanceof TimeoutError ? 'downstream_timeout' : 'downstream_unreachable';
    return new DownstreamError(
      kind,
      { service: name },
      { logFields: { reason: message, 'error.code': code } },
    );
  };

  /** Delay before another attempt; undefined if there is to be none. */
  const delayBefore = (
    attempt: number,
    method: string,
    retryAfter: string | undefined,
  ): number | undefined => {
    if (!idempotent.has(method) || attempt > maxRetries) return undefined;
    const askedMs = (parseRetryAfter(retryAfter, clock()) ?? 0) * 1000;
    const delayMs = Math.max(askedMs, firstDelayMs * 2 ** (attempt - 1) * (0.5 + random()));
    return delayMs <= maxDelayMs && budget.withdraw() ? delayMs : undefined;
  };

  const sendWithRetries = async (
    request: DownstreamRequest,
    accessToken: string,
    note: { attempts: number },
  ): Promise<HttpResponse> => {
    const { method = 'GET' } = request;
    for (;;) {
      note.attempts += 1;
      let response: HttpResponse | undefined;
      let failure: unknown;
      try {
        response = await circuit.execute(() => send(request, accessToken));
        if (!retriable.has(response.statusCode)) return response;
      } catch (error) {
        failure = error;
        // A call that its caller gave up, or that was never made, is not made again.
        if (request.signal?.aborted || error instanceof BrokenCircuitError) throw error;
      }
      const delayMs = delayBefore(note.attempts, method, response?.headers['retry-after']);
      if (delayMs === undefined) {
        if (response) return response;
        throw failure;
      }
      await sleep(delayMs);
    }
  };

  const toResponse = (
    response: HttpResponse,
    attempts: number,
    token: DownstreamResponse['token'],
  ): DownstreamResponse => {
    const { statusCode: status, headers, body } = response;
    return {
      status,
      headers,
      body,
      attempts,
      token,
      json() {
        try {
          return JSON.parse(body) as unknown;
        } catch {
          throw new DownstreamError(
            'downstream_failed',
            { service: name, status },
            { logFields: { reason: 'the answer is not JSON' } },
          );
        }
      },
    };
  };

  const refuseUnlessSuccess = ({ statusCode: status, headers, body }: HttpResponse): void => {
    if ((status >= 200 && status < 300) || status === 304) return;
    const kind = failureOf(status);
    const retryAfterSeconds =
      kind === 'downstream_unavailable' ? (parseRetryAfter(headers['retry-after'], clock()) ?? 5) : undefined;
    throw new DownstreamError(kind, parseProblem(name, status, body), { retryAfterSeconds });
  };

  const call = async (request: DownstreamRequest, note: { attempts: number; status?: number }) => {
    const propagated = pick(request.headers ?? {}, contextHeaders);
    const token = await tokens.getToken({ scope, headers: propagated });
    let response = await sendWithRetries(request, token.accessToken, note);
    if (response.statusCode === 401) {
      // Answered once: with the claims that it asks for, or with a token that it may not know as withdrawn.
      const claims = claimsOfChallenge(response.headers['www-authenticate']);
      const other = await tokens
        .getToken({
          scope,
          headers: propagated,
          ...(claims === undefined ? { refused: token.accessToken } : { claims }),
        })
        .catch(() => token);
      if (other.accessToken !== token.accessToken) {
        response = await sendWithRetries(request, other.accessToken, note);
      }
    }
    note.status = response.statusCode;
    refuseUnlessSuccess(response);
    return toResponse(response, note.attempts, token);
  };

  return {
    close: () => agent.destroy(),
    async request(request) {
      const { method = 'GET', headers = {} } = request;
      assertNoReservedHeader(headers);
      resolveBelow(base, request);
      budget.deposit();
      const note: { attempts: number; status?: number } = { attempts: 0 };
      const startMs = performance.now();
      try {
        return await turns.execute(() => call(request, note));
      } catch (error) {
        throw toDownstreamError(error);
      } finally {
        const durationMs = performance.now() - startMs;
        observer.downstreamCalled?.({
          api: name,
          method,
          status: note.status,
          attempts: note.attempts,
          durationMs,
        });
      }
    },
  };
};
