export interface AdmissionOptions {
  /** Most requests in flight. */
  maxInFlight: number;
  /** Most of them that belong to one caller. */
  maxInFlightPerCaller: number;
  /** Most requests that wait for a place. */
  maxQueued: number;
  /** Longest wait, in milliseconds. */
  maxQueueMs: number;
}

/** Why a request is shed: `gone`, its client went away meanwhile. */
export type Shed = 'queue_full' | 'queue_timeout' | 'gone';

export interface Admission {
  readonly inFlight: number;
  readonly queued: number;
  /** Takes a place now, if there is one. */
  tryEnter(caller: string): boolean;
  /** Waits for a place until `gone`, and says why there was none. */
  enter(caller: string, gone?: AbortSignal): Promise<Shed | undefined>;
  /** Gives a place back. Call it once for each that was taken. */
  leave(caller: string): void;
}

interface Waiting {
  caller: string;
  decide: (shed: Shed | undefined) => void;
}

/**
 * Bounds the requests in flight, and those that wait. A queue without bounds turns overload into latency for everybody;
 * a refusal with `Retry-After` is cheaper for all. A caller that is slow, or has very much to ask, leaves places to others.
 */
export const createAdmission = ({
  maxInFlight,
  maxInFlightPerCaller,
  maxQueued,
  maxQueueMs,
}: AdmissionOptions): Admission => {
  const queue = new Set<Waiting>();
  const taken = new Map<string, number>();
  const maxQueuedPerCaller = Math.ceil(maxQueued / 2);
  const waitingOf = (caller: string): number => {
    let count = 0;
    for (const waiting of queue) if (waiting.caller === caller) count += 1;
    return count;
  };
  let inFlight = 0;

  const tryEnter = (caller: string): boolean => {
    const own = taken.get(caller) ?? 0;
    if (inFlight >= maxInFlight || own >= maxInFlightPerCaller) return false;
    inFlight += 1;
    taken.set(caller, own + 1);
    return true;
  };
  return {
    get inFlight() {
      return inFlight;
    },
    get queued() {
      return queue.size;
    },
    tryEnter,
    enter(caller, gone) {
      if (queue.size >= maxQueued || waitingOf(caller) >= maxQueuedPerCaller)
        return Promise.resolve('queue_full');
      return new Promise((resolve) => {
        const timer = setTimeout(() => waiting.decide('queue_timeout'), maxQueueMs);
        const waiting: Waiting = {
          caller,
          decide(shed) {
            clearTimeout(timer);
            queue.delete(waiting);
            resolve(shed);
          },
        };
        queue.add(waiting);
        gone?.addEventListener('abort', () => waiting.decide('gone'), { once: true });
      });
    },
    leave(caller) {
      inFlight -= 1;
      const left = (taken.get(caller) ?? 1) - 1;
      if (left === 0) taken.delete(caller);
      else taken.set(caller, left);
      // The place goes straight to the one who has waited longest of those who may have it.
      for (const waiting of queue) {
        if (!tryEnter(waiting.caller)) continue;
        waiting.decide(undefined);
        return;
      }
    },
  };
};
