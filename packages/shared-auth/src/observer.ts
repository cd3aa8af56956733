/** Why a token was asked for: none at hand, soon to end, refused by the API that it is for, or short of claims. */
export type AcquisitionReason = 'cold' | 'refresh' | 'replacement' | 'claims';

export type Outcome = 'ok' | 'refused' | 'unavailable';

/**
 * What happened, for metrics and logs. Each member may be left out; none may throw. What happens on every call (hits)
 * is counted instead, by `stats()`.
 */
export interface AuthObserver {
  /** A key set was fetched, or not. */
  keysFetched?(event: { url: string; outcome: Outcome; durationMs: number; error?: unknown }): void;
  /** A token was asked for. */
  tokenAcquired?(event: {
    scope: string;
    reason: AcquisitionReason;
    outcome: Outcome;
    /** Whether another process had it already. */
    fromSharedCache: boolean;
    durationMs: number;
    error?: unknown;
  }): void;
  /** The shared token cache failed, or works again. Told once per change, not per call. */
  sharedCacheChanged?(event: { isWorking: boolean; error?: unknown }): void;
  /** A call to a downstream API ended. */
  downstreamCalled?(event: {
    api: string;
    method: string;
    /** Status of the answer; none when none came. */
    status: number | undefined;
    attempts: number;
    durationMs: number;
  }): void;
  /** The circuit breaker of a downstream API changed. */
  circuitChanged?(event: { api: string; isOpen: boolean }): void;
}
