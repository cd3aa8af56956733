import type { LocatedUpstream } from '../routes/route-table.ts';
import type { Transport, TransportOptions } from '../transport/transport.ts';
import { type Admission, createAdmission } from './admission.ts';
import { createEndpoint, type Endpoint, type EndpointState } from './endpoint.ts';
import { startHealthChecks } from './health-checks.ts';
import { followName, hasName, type NameResolution } from './name-resolution.ts';
import { createRetryBudget, type RetryBudget } from './retry-budget.ts';

export interface UpstreamDependencies {
  createTransport: (origin: string, options: Pick<TransportOptions, 'maxConnections'>) => Transport;
  /** All addresses of a host name. */
  resolve?: (host: string) => Promise<string[]>;
  /** Milliseconds, never going back. */
  now?: () => number;
  /** Told what an operator should know: an address that is left out or back, a name that does not resolve. */
  report: (event: UpstreamEvent) => void;
}

export type UpstreamEvent =
  | { upstream: string; event: 'address'; state: EndpointState }
  | { upstream: string; event: 'unresolved'; address: string; err: unknown }
  | { upstream: string; event: 'resolved'; address: string; origins: readonly string[] };

export interface UpstreamState {
  name: string;
  /** `open` when no address may be tried now. */
  breaker: 'closed' | 'open';
  inFlight: number;
  queued: number;
  retries: number;
  /** Retries that the budget had nothing left for. */
  retriesRefused: number;
  endpoints: EndpointState[];
}

export interface Upstream {
  readonly name: string;
  readonly settings: LocatedUpstream;
  readonly admission: Admission;
  readonly retries: RetryBudget;
  /** The available address with the fewest requests in flight, other than `except` where there is another. */
  choose(except?: Endpoint): Endpoint | undefined;
  /** Resolves once every host name was asked for, whatever the answer. */
  ready(): Promise<unknown>;
  /** Why `choose` has found no address. */
  whyNone(): 'unresolved' | 'breaker_open';
  /** Seconds after which a try is worth it, when there is no address now. */
  retryAfterSeconds(): number;
  state(): UpstreamState;
  /** Looks after its addresses no more, and resolves once no connection is left. Requests may still come. */
  close(): Promise<void>;
}

/**
 * The addresses of one upstream. Host names of plain HTTP are resolved anew at an interval, so that each address behind
 * a name is balanced, ejected and brought back by itself; a name that stops resolving keeps the addresses that it had.
 */
export const createUpstream = (settings: LocatedUpstream, dependencies: UpstreamDependencies): Upstream => {
  const { name } = settings;
  const { createTransport, report, resolve, now = () => performance.now() } = dependencies;
  const endpoints = new Map<string, { endpoint: Endpoint; address: string }>();
  let candidates: readonly Endpoint[] = [];
  const retired = new Set<Promise<void>>();
  const { maxInFlight, maxInFlightPerCaller = Math.ceil(maxInFlight / 2) } = settings;
  const admission = createAdmission({ ...settings, maxInFlightPerCaller });
  const retries = createRetryBudget(settings.retryBudget);
  let turn = 0;

  const add = (origin: string, address: string): Endpoint => {
    const endpoint = createEndpoint({
      origin,
      host: new URL(address).host,
      // One more, for a health check.
      transport: createTransport(origin, { maxConnections: settings.maxInFlight + 1 }),
      failures: settings.failures,
      ejectMs: settings.ejectMs,
      now,
      onChange: (state) => report({ upstream: name, event: 'address', state }),
    });
    endpoints.set(origin, { endpoint, address });
    candidates = [...candidates, endpoint];
    return endpoint;
  };
  const remove = (origin: string): void => {
    const removed = endpoints.get(origin);
    if (!removed) return;
    endpoints.delete(origin);
    candidates = candidates.filter((endpoint) => endpoint !== removed.endpoint);
    const closing = removed.endpoint.transport.close().finally(() => retired.delete(closing));
    retired.add(closing);
  };

  const follow = (address: string): NameResolution => {
    let resolved = true;
    return followName({
      address,
      everyMs: settings.resolveMs,
      resolve,
      onOrigins(origins) {
        // A container has its address before it listens: beside others that work, it waits for its health check.
        const mayWait = settings.healthCheck !== undefined && origins.some((origin) => endpoints.has(origin));
        for (const origin of origins) {
          if (endpoints.has(origin)) continue;
          const newcomer = add(origin, address);
          if (mayWait) newcomer.setHealthy(false);
        }
        for (const [origin, known] of endpoints)
          if (known.address === address && !origins.includes(origin)) remove(origin);
        if (!resolved) report({ upstream: name, event: 'resolved', address, origins });
        resolved = true;
      },
      onError(error) {
        if (resolved) report({ upstream: name, event: 'unresolved', address, err: error });
        resolved = false;
      },
    });
  };

  for (const address of settings.addresses) if (!hasName(address)) add(new URL(address).origin, address);
  const names = settings.addresses.filter(hasName).map(follow);
  const stopHealthChecks = startHealthChecks(settings.healthCheck, () =>
    [...endpoints.values()].map(({ endpoint }) => endpoint),
  );

  const leastBusy = (may: (endpoint: Endpoint) => boolean, except?: Endpoint): Endpoint | undefined => {
    let best: Endpoint | undefined;
    for (let index = 0; index < candidates.length; index += 1) {
      const endpoint = candidates[(index + turn) % candidates.length] as Endpoint;
      if (endpoint === except || !may(endpoint)) continue;
      if (best === undefined || endpoint.outstanding < best.outstanding) best = endpoint;
    }
    return best;
  };
  const choose = (except?: Endpoint): Endpoint | undefined => {
    // Ties go around, or the first address would get all the requests of a quiet service.
    turn += 1;
    return (
      leastBusy(isAvailable, except) ??
      (except?.isAvailable() && endpoints.has(except.origin) ? except : undefined) ??
      leastBusy(mayBeTried)
    );
  };

  return {
    name,
    settings,
    admission,
    retries,
    choose,
    ready: () => Promise.all(names.map(({ ready }) => ready)),
    whyNone: () => (endpoints.size === 0 ? 'unresolved' : 'breaker_open'),
    retryAfterSeconds() {
      const waits = [...endpoints.values()].map(({ endpoint }) => endpoint.retryInMs());
      return Math.max(1, Math.ceil(Math.min(...waits, 5_000) / 1_000));
    },
    state: () => ({
      name,
      breaker: [...endpoints.values()].some(({ endpoint }) => endpoint.mayBeTried()) ? 'closed' : 'open',
      inFlight: admission.inFlight,
      queued: admission.queued,
      retries: retries.taken,
      retriesRefused: retries.refused,
      endpoints: [...endpoints.values()].map(({ endpoint }) => endpoint.state()),
    }),
    async close() {
      stopHealthChecks();
      await Promise.all(names.map((followed) => followed.stop()));
      // They stay where they are: requests that have their route already are still to choose one.
      const closing = [...endpoints.values()].map(({ endpoint }) => endpoint.transport.close());
      await Promise.all([...closing, ...retired]);
    },
  };
};

const isAvailable = (endpoint: Endpoint): boolean => endpoint.isAvailable();
/** As Envoy's panic mode: where every address fails its check, to refuse everybody helps nobody. */
const mayBeTried = (endpoint: Endpoint): boolean => endpoint.mayBeTried();
