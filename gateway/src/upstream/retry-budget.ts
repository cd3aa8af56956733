/** How many retries an upstream may get: a share of its requests, so that retries never multiply an outage. */
export interface RetryBudget {
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
  return {
    deposit() {
      balance = Math.min(most, balance + share);
    },
    withdraw() {
      if (balance < 1) return false;
      balance -= 1;
      return true;
    },
  };
};
