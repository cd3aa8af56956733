/** How many retries an upstream may get: a share of its requests, so that retries never multiply an outage. */
export interface RetryBudget {
  /** Retries that there were. */
  readonly taken: number;
  /** Retries that the budget had nothing left for. */
  readonly refused: number;
  /** Counts a request. */
  deposit(): void;
  /** Takes a retry out of the budget, if there is one. */
  withdraw(): boolean;
}

const reserve = 10;
const most = 100;

/** @param share retries per request, 0 to 1. A few are there from the start. */
export const createRetryBudget = (share: number): RetryBudget => {
  let balance = share === 0 ? 0 : reserve;
  let taken = 0;
  let refused = 0;
  return {
    get taken() {
      return taken;
    },
    get refused() {
      return refused;
    },
    deposit() {
      balance = Math.min(most, balance + share);
    },
    withdraw() {
      if (balance < 1) {
        refused += 1;
        return false;
      }
      taken += 1;
      balance -= 1;
      return true;
    },
  };
};
