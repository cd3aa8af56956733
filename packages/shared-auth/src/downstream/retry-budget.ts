/** Bounds retries to a share of the calls, so that they do not multiply the load on an API that is failing. */
export interface RetryBudget {
  /** Notes a call. */
  deposit(): void;
  /** Takes one retry; false if there is none left. */
  withdraw(): boolean;
}

/** A bucket that holds up to `capacity` retries and gains `share` of one with each call. It starts full. */
export const createRetryBudget = (share: number, capacity: number): RetryBudget => {
  let retries = capacity;
  return {
    deposit() {
      retries = Math.min(capacity, retries + share);
    },
    withdraw() {
      if (retries < 1) return false;
      retries -= 1;
      return true;
    },
  };
};
