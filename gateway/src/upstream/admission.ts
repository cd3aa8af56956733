export interface AdmissionOptions {
  /** Most requests in flight. */
  maxInFlight: number;
  /** Most requests that wait for a place. */
  maxQueued: number;
  /** Longest wait, in milliseconds. */
  maxQueueMs: number;
}

export interface Admission {
  readonly inFlight: number;
  readonly queued: number;
  /** Takes a place now, if there is one. */
  tryEnter(): boolean;
  /** Waits for a place. False when the queue is full, or the wait too long: shed the request. */
  enter(): Promise<boolean>;
  /** Gives a place back. Call it once for each that was taken. */
  leave(): void;
}

interface Waiting {
  admit: (admitted: boolean) => void;
  timer: NodeJS.Timeout;
}

/**
 * Bounds the requests in flight, and those that wait. A queue without bounds turns overload into latency for everybody;
 * a refusal with `Retry-After` is cheaper for all.
 */
export const createAdmission = ({ maxInFlight, maxQueued, maxQueueMs }: AdmissionOptions): Admission => {
  const queue = new Set<Waiting>();
  let inFlight = 0;
  return {
    get inFlight() {
      return inFlight;
    },
    get queued() {
      return queue.size;
    },
    tryEnter() {
      if (inFlight >= maxInFlight) return false;
      inFlight += 1;
      return true;
    },
    enter() {
      if (queue.size >= maxQueued) return Promise.resolve(false);
      return new Promise((resolve) => {
        const waiting: Waiting = {
          admit(admitted) {
            clearTimeout(waiting.timer);
            queue.delete(waiting);
            resolve(admitted);
          },
          timer: setTimeout(() => waiting.admit(false), maxQueueMs),
        };
        queue.add(waiting);
      });
    },
    leave() {
      const [next] = queue;
      // The place goes straight to the one who has waited longest.
      if (next) next.admit(true);
      else inFlight -= 1;
    },
  };
};
