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
  /** Whether it may be chosen now. One that was left out is tried by a single request first. */
  isAvailable(): boolean;
  /** Milliseconds until it may be tried again; 0 when it may now. */
  retryInMs(): number;
  begin(): void;
  /** @param worked undefined when the request tells nothing about the address, such as one that a client broke off. */
  end(worked: boolean | undefined): void;
  /** What an active health check found. */
  setHealthy(healthy: boolean): void;
  state(): EndpointState;
}

export interface EndpointState {
  origin: string;
  state: 'available' | 'ejected' | 'trial' | 'unhealthy';
  outstanding: number;
  failuresInARow: number;
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
  let ejectedUntil = 0;
  let trial = false;
  let healthy = true;

  const state = (): EndpointState => ({
    origin,
    state: stateName(),
    outstanding,
    failuresInARow,
    openConnections: transport.stats.open,
  });
  const stateName = (): EndpointState['state'] => {
    if (!healthy) return 'unhealthy';
    if (ejections === 0) return 'available';
    return trial || now() >= ejectedUntil ? 'trial' : 'ejected';
  };
  const eject = (): void => {
    ejections += 1;
    ejectedUntil = now() + Math.min(ejectMs * 2 ** (ejections - 1), longestEjectionMs);
    onChange(state());
  };

  return {
    origin,
    host,
    transport,
    get outstanding() {
      return outstanding;
    },
    isAvailable: () => healthy && (ejections === 0 || (!trial && now() >= ejectedUntil)),
    retryInMs: () => (healthy ? Math.max(0, ejectedUntil - now()) : 1_000),
    begin() {
      outstanding += 1;
      if (ejections > 0) trial = true;
    },
    end(worked) {
      outstanding -= 1;
      const wasTrial = trial;
      trial = false;
      if (worked === undefined) return;
      if (!worked) {
        failuresInARow += 1;
        if (wasTrial || (ejections === 0 && failuresInARow >= failures)) eject();
        return;
      }
      failuresInARow = 0;
      if (ejections === 0) return;
      ejections = 0;
      ejectedUntil = 0;
      onChange(state());
    },
    setHealthy(now) {
      if (now === healthy) return;
      healthy = now;
      if (healthy) {
        failuresInARow = 0;
        ejections = 0;
        ejectedUntil = 0;
      }
      onChange(state());
    },
    state,
  };
};
