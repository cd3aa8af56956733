import type { Transport } from '../transport/transport.ts';

/** One address of an upstream. */
export interface Endpoint {
  /** `http://10.0.0.7:8081` */
  readonly origin: string;
  /** What requests name as their host: the name, not the address that it resolved to. */
  readonly host: string;
  readonly transport: Transport;
  /** Requests in flight. */
  readonly outstanding: number;
  /** Whether it may be chosen now. One that was left out is tried by single requests first. */
  isAvailable(): boolean;
  /** Whether it may be tried where no address is available: a health check may be late or wrong, failures are not. */
  mayBeTried(): boolean;
  /** Milliseconds until it may be tried again; 0 when it may now. */
  retryInMs(): number;
  /** A request goes out. */
  begin(): EndpointUse;
  /** What an active health check found. */
  setHealthy(healthy: boolean): void;
  state(): EndpointState;
}

/** A request in flight. One that went out before the address was left out tells nothing about how it is now. */
export interface EndpointUse {
  /** The head of an answer has come: a trial has succeeded, however long the rest takes. */
  answered(): void;
  /**
   * It is over. Call it once.
   *
   * @param worked undefined when the request tells nothing about the address, such as one that a client broke off.
   * @param cause what went wrong
   */
  end(worked: boolean | undefined, cause?: string): void;
}

export interface EndpointState {
  origin: string;
  state: 'available' | 'ejected' | 'trial' | 'unhealthy';
  outstanding: number;
  failuresInARow: number;
  /** How often it was left out. */
  ejections: number;
  /** What went wrong last, however long ago. */
  lastFailure: string | undefined;
  openConnections: number;
}

export interface EndpointOptions {
  origin: string;
  host: string;
  transport: Transport;
  /** So many failures in a row leave the address out … */
  failures: number;
  /** … for so long at first, doubled with each trial that fails, in milliseconds. */
  ejectMs: number;
  /** Milliseconds, never going back. */
  now: () => number;
  /** Told when the address is left out, and when it is back. */
  onChange: (state: EndpointState) => void;
}

const longestEjectionMs = 60_000;

/** Passive outlier detection for one address: failures in a row eject it, one good trial brings it back. */
export const createEndpoint = ({
  origin,
  host,
  transport,
  failures,
  ejectMs,
  now,
  onChange,
}: EndpointOptions): Endpoint => {
  let outstanding = 0;
  let failuresInARow = 0;
  let ejections = 0;
  let ejectionsInARow = 0;
  let lastFailure: string | undefined;
  let ejectedUntil = 0;
  /** Those that are under way since it was left out last. */
  const trials = new Set<EndpointUse>();
  let nextTrialAt = 0;
  let healthy = true;

  // One that takes its time, by its client's doing perhaps, must not keep all others waiting.
  const isTrialDue = (): boolean => now() >= ejectedUntil && (trials.size === 0 || now() >= nextTrialAt);
  const mayBeTried = (): boolean => ejectionsInARow === 0 || isTrialDue();
  const state = (): EndpointState => ({
    origin,
    state: stateName(),
    outstanding,
    failuresInARow,
    ejections,
    lastFailure,
    openConnections: transport.stats.open,
  });
  const stateName = (): EndpointState['state'] => {
    if (!healthy) return 'unhealthy';
    if (ejectionsInARow === 0) return 'available';
    return trials.size > 0 || now() >= ejectedUntil ? 'trial' : 'ejected';
  };
  const ejectionMs = (): number => Math.min(ejectMs * 2 ** (ejectionsInARow - 1), longestEjectionMs);
  const eject = (): void => {
    ejections += 1;
    ejectionsInARow += 1;
    ejectedUntil = now() + ejectionMs();
    trials.clear();
    onChange(state());
  };

  const takeBack = (): void => {
    failuresInARow = 0;
    ejectionsInARow = 0;
    ejectedUntil = 0;
    trials.clear();
    onChange(state());
  };

  return {
    origin,
    host,
    transport,
    get outstanding() {
      return outstanding;
    },
    isAvailable: () => healthy && mayBeTried(),
    mayBeTried,
    retryInMs: () => Math.max(0, ejectedUntil - now()),
    begin() {
      outstanding += 1;
      const use: EndpointUse = {
        answered() {
          if (trials.has(use)) takeBack();
        },
        end(worked, cause) {
          outstanding -= 1;
          if (worked === false) lastFailure = cause;
          if (trials.delete(use)) {
            if (worked === false) eject();
            else if (worked) takeBack();
          } else if (ejectionsInARow === 0 && worked !== undefined) {
            failuresInARow = worked ? 0 : failuresInARow + 1;
            if (failuresInARow >= failures) eject();
          }
        },
      };
      if (ejectionsInARow > 0 && isTrialDue()) {
        trials.add(use);
        nextTrialAt = now() + ejectionMs();
      }
      return use;
    },
    setHealthy(found) {
      if (found === healthy) return;
      healthy = found;
      if (healthy) takeBack();
      else {
        lastFailure = 'health_check';
        onChange(state());
      }
    },
    state,
  };
};
