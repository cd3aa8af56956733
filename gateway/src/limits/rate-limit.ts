import { ProblemError } from '@countersign/service-kit';
import { RateLimiterRedis, RateLimiterRes } from 'rate-limiter-flexible';
import type { Route } from '../routes/route-schema.ts';
import { CallerWindows } from './caller-windows.ts';

export interface RateLimitStoreOptions {
  /** A connected client of the `redis` package: counts are then shared by all replicas. */
  redis?: unknown;
  /** Told once per change when the shared store fails and this process counts for itself, and when it is back. */
  onStoreChange?: (working: boolean, error?: unknown) => void;
  /** Milliseconds, never going back. */
  now?: () => number;
}

/** How long a request waits for the shared store, in milliseconds: it is next door, or in trouble. */
const storeTimeoutMs = 100;
/** After a failure requests do without the store for so long, or a store that stalls would slow all of them. */
const storePauseMs = 1_000;

/**
 * Counts a request. Gives the headers that tell the client what is left (draft-ietf-httpapi-ratelimit-headers-10), at once
 * when nobody else has to be asked.
 *
 * @throws {ProblemError} 429 with `Retry-After` when nothing is left.
 */
export type CountRequest = (caller: string) => string[] | Promise<string[]>;

/** The limit of one route. */
export const createRateLimit = (
  route: Route,
  { redis, onStoreChange, now = () => performance.now() }: RateLimitStoreOptions,
): CountRequest => {
  const { requests, perSeconds } = route.rateLimit as NonNullable<Route['rateLimit']>;
  const policy = `"default";q=${requests};w=${perSeconds}`;
  const answer = (used: number, msBeforeNext: number): string[] => {
    const seconds = Math.ceil(msBeforeNext / 1_000);
    const left = `"default";r=${Math.max(0, requests - used)};t=${seconds}`;
    if (used <= requests) return ['RateLimit-Policy', policy, 'RateLimit', left];
    throw new ProblemError('This caller has used up its requests for now.', {
      status: 429,
      code: 'rate_limited',
      headers: {
        'Retry-After': String(Math.max(1, seconds)),
        'RateLimit-Policy': policy,
        RateLimit: left,
      },
    });
  };

  const windows = new CallerWindows(perSeconds * 1_000);
  const countHere = (caller: string): string[] => {
    const nowMs = now();
    const { used, endsAtMs } = windows.count(caller, nowMs);
    return answer(used, endsAtMs - nowMs);
  };
  if (!redis) return countHere;

  const shared = new RateLimiterRedis({
    keyPrefix: `countersign:rate:${route.path}`,
    points: requests,
    duration: perSeconds,
    storeClient: redis,
    useRedisPackage: true,
  });
  let working = true;
  let pausedUntil = 0;
  return async (caller) => {
    if (!working && now() < pausedUntil) return countHere(caller);
    try {
      const { consumedPoints, msBeforeNext } = await inTime(consume(shared, caller));
      if (!working) onStoreChange?.((working = true));
      return answer(consumedPoints, msBeforeNext);
    } catch (error) {
      if (error instanceof ProblemError) throw error;
      // Not limiting at all would be worse than limiting by replica, and refusing everybody worse than both.
      pausedUntil = now() + storePauseMs;
      if (working) onStoreChange?.((working = false), error);
      return countHere(caller);
    }
  };
};

/** What is counted, also where it is too much, for which the library fails. */
const consume = (limiter: RateLimiterRedis, caller: string): Promise<RateLimiterRes> =>
  limiter.consume(caller).catch((error: unknown) => {
    if (error instanceof RateLimiterRes) return error;
    throw error;
  });

const inTime = <Value>(answer: Promise<Value>): Promise<Value> =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new Error(`no answer within ${storeTimeoutMs} ms`)),
      storeTimeoutMs,
    );
    answer.then(resolve, reject).finally(() => clearTimeout(timer));
  });
