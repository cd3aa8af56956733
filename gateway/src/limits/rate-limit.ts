import { ProblemError } from '@countersign/service-kit';
import { RateLimiterMemory, RateLimiterRedis, RateLimiterRes } from 'rate-limiter-flexible';
import type { Route } from '../routes/route-schema.ts';

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

/** Counts a request. Gives the headers that tell the client what is left (draft-ietf-httpapi-ratelimit-headers-10). */
export type CountRequest = (caller: string) => Promise<string[]>;

/**
 * The limit of one route.
 *
 * The returned function rejects with a {@link ProblemError} 429 with `Retry-After` when nothing is left.
 */
export const createRateLimit = (
  route: Route,
  { redis, onStoreChange, now = () => performance.now() }: RateLimitStoreOptions,
): CountRequest => {
  const { requests, perSeconds } = route.rateLimit as NonNullable<Route['rateLimit']>;
  const settings = { keyPrefix: `countersign:rate:${route.path}`, points: requests, duration: perSeconds };
  const memory = new RateLimiterMemory(settings);
  const shared = redis
    ? new RateLimiterRedis({ ...settings, storeClient: redis, useRedisPackage: true })
    : undefined;
  let working = true;
  let pausedUntil = 0;

  const consume = (caller: string): Promise<RateLimiterRes> =>
    shared ? consumeShared(shared, caller) : memory.consume(caller);
  const consumeShared = async (shared: RateLimiterRedis, caller: string): Promise<RateLimiterRes> => {
    if (!working && now() < pausedUntil) return memory.consume(caller);
    try {
      const left = await inTime(shared.consume(caller));
      if (!working) onStoreChange?.((working = true));
      return left;
    } catch (error) {
      if (error instanceof RateLimiterRes) throw error;
      // Not limiting at all would be worse than limiting by replica, and refusing everybody worse than both.
      pausedUntil = now() + storePauseMs;
      if (working) onStoreChange?.((working = false), error);
      return memory.consume(caller);
    }
  };
  const policy = `"default";q=${requests};w=${perSeconds}`;
  const headers = ({ remainingPoints, msBeforeNext }: RateLimiterRes): string[] => [
    'RateLimit-Policy',
    policy,
    'RateLimit',
    `"default";r=${Math.max(0, remainingPoints)};t=${Math.ceil(msBeforeNext / 1_000)}`,
  ];

  const refuse = (error: unknown): never => {
    if (!(error instanceof RateLimiterRes)) throw error;
    const [, , name = '', value = ''] = headers(error);
    throw new ProblemError('This caller has used up its requests for now.', {
      status: 429,
      code: 'rate_limited',
      headers: {
        'Retry-After': String(Math.max(1, Math.ceil(error.msBeforeNext / 1_000))),
        'RateLimit-Policy': policy,
        [name]: value,
      },
    });
  };

  return (caller) => consume(caller).then(headers, refuse);
};

const inTime = <Value>(answer: Promise<Value>): Promise<Value> =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new Error(`no answer within ${storeTimeoutMs} ms`)),
      storeTimeoutMs,
    );
    answer.then(resolve, reject).finally(() => clearTimeout(timer));
  });
