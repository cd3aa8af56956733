import { BrokenCircuitError, circuitBreaker, ConsecutiveBreaker, handleWhen } from 'cockatiel';
import type { AuthObserver } from '../observer.ts';
import { parseRetryAfter } from '../retry-after.ts';
import { DownstreamError } from './downstream-error.ts';
import { createRetryBudget } from './retry-budget.ts';
import type { HttpResponse, PreparedRequest, Transport } from './transport.ts';

export interface ResilienceOptions {
  /** How errors and metrics call the API. */
  name: string;
  transport: Transport;
  maxRetries: number;
  /** Retries as a share of calls. */
  retryShare: number;
  /** Failures in a row that open the circuit. */
  failuresToOpen: number;
  openMs: number;
  observer: AuthObserver;
  clock: () => number;
  sleep: (ms: number) => Promise<void>;
  random: () => number;
}

/** Sends with retries, as far as the method, the budget and the circuit allow. Counts attempts in `note`. */
export type ResilientSend = (
  request: PreparedRequest,
  accessToken: string,
  note: { attempts: number },
) => Promise<HttpResponse>;

const idempotent = new Set(['GET', 'HEAD', 'PUT', 'DELETE']);
/** Answers after which another attempt may succeed at once. */
const retriable = new Set([429, 502, 503, 504]);
const firstDelayMs = 100;
/** A server that wants to be left alone for longer is not asked again within one call. */
const maxDelayMs = 2000;
/** Retries that may be made at a stretch. */
const budgetCapacity = 10;

/** No answer, or none in time: the server's fault, and worth another attempt. What a caller did wrong is neither. */
const isServerFault = (error: unknown): boolean =>
  error instanceof DownstreamError &&
  (error.code === 'downstream_unreachable' || error.code === 'downstream_timeout');

export const createResilientSend = ({
  name,
  transport,
  maxRetries,
  retryShare,
  failuresToOpen,
  openMs,
  observer,
  clock,
  sleep,
  random,
}: ResilienceOptions): ResilientSend => {
  const budget = createRetryBudget(retryShare, budgetCapacity);
  const circuit = circuitBreaker(
    handleWhen(isServerFault).orWhenResult((result) => (result as HttpResponse).statusCode >= 500),
    { halfOpenAfter: openMs, breaker: new ConsecutiveBreaker(failuresToOpen) },
  );
  circuit.onBreak(() => observer.circuitChanged?.({ api: name, isOpen: true }));
  circuit.onReset(() => observer.circuitChanged?.({ api: name, isOpen: false }));

  const throughCircuit = async (request: PreparedRequest, accessToken: string): Promise<HttpResponse> => {
    try {
      return await circuit.execute(() => transport.send(request, accessToken));
    } catch (error) {
      if (!(error instanceof BrokenCircuitError)) throw error;
      const retryAfterSeconds = Math.ceil(openMs / 1000);
      const logFields = { circuit: 'open' };
      throw new DownstreamError(
        'downstream_unavailable',
        { service: name },
        { retryAfterSeconds, logFields },
      );
    }
  };

  /** Delay before another attempt; undefined if there is to be none. */
  const delayAfter = (
    attempt: number,
    method: string,
    retryAfter: string | undefined,
  ): number | undefined => {
    if (!idempotent.has(method) || attempt > maxRetries) return undefined;
    const askedMs = (parseRetryAfter(retryAfter, clock()) ?? 0) * 1000;
    const delayMs = Math.max(askedMs, firstDelayMs * 2 ** (attempt - 1) * (0.5 + random()));
    return delayMs <= maxDelayMs && budget.withdraw() ? delayMs : undefined;
  };

  return async (request, accessToken, note) => {
    const { method, signal } = request;
    budget.deposit();
    for (let attempt = 1; ; attempt += 1) {
      note.attempts += 1;
      let retryAfter: string | undefined;
      let conclude: () => HttpResponse;
      try {
        const response = await throughCircuit(request, accessToken);
        if (!retriable.has(response.statusCode)) return response;
        retryAfter = response.headers['retry-after'];
        conclude = () => response;
      } catch (error) {
        if (signal?.aborted === true || !isServerFault(error)) throw error;
        conclude = () => {
          throw error;
        };
      }
      const delayMs = delayAfter(attempt, method, retryAfter);
      if (delayMs === undefined) return conclude();
      await sleep(delayMs);
      signal?.throwIfAborted();
    }
  };
};
