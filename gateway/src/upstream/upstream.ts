import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import type { LocatedUpstream } from '../routes/route-table.ts';
import type { Transport, TransportOptions } from '../transport/transport.ts';
import { type Admission, createAdmission } from './admission.ts';
import { createEndpoint, type Endpoint, type EndpointState } from './endpoint.ts';
import { startHealthChecks } from './health-checks.ts';
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
  readonly admission: Admission;
  readonly retries: RetryBudget;
  /** The available address with the fewest requests in flight, other than `except` where there is another. */
  choose(except?: Endpoint): Endpoint | undefined;
  /** Resolves once every host name was asked for, whatever the answer. */
  ready(): Promise<unknown>;
  /** Seconds after which a try is worth it, when there is no address now. */
  retryAfterSeconds(): number;
  state(): UpstreamState;
  /** Looks after its addresses no more, and resolves once no connection is left. Requests may still come. */
  close(): Promise<void>;
}

const resolveAll = async (host: string): Promise<string[]> =>
  (await lookup(host, { all: true })).map(({ address }) => address);

/**
 * The addresses of one upstream. Host names of plain HTTP are resolved anew at an interval, so that each address behind
 * a name is balanced, ejected and brought back by itself; a name that stops resolving keeps the addresses that it had.
 */
export const createUpstream = (settings: LocatedUpstream, dependencies: UpstreamDependencies): Upstream => {
  const { name } = settings;
  const { createTransport, report, resolve = resolveAll, now = () => performance.now() } = dependencies;
  const endpoints = new Map<string, { endpoint: Endpoint; address: string }>();
  let candidates: readonly Endpoint[] = [];
  const unresolved = new Set<string>();
  const retired = new Set<Promise<void>>();
  const admission = createAdmission(settings);
  const retries = createRetryBudget(settings.retryBudget);
  let turn = 0;

  const add = (origin: string, address: string): void => {
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
  };
  const remove = (origin: string): void => {
    const removed = endpoints.get(origin);
    if (!removed) return;
    endpoints.delete(origin);
    candidates = candidates.filter((endpoint) => endpoint !== removed.endpoint);
    const closing = removed.endpoint.transport.close().finally(() => retired.delete(closing));
    retired.add(closing);
  };

  const resolveAddress = async (address: string): Promise<void> => {
    const url = new URL(address);
    const known = [...endpoints].filter(([, entry]) => entry.address === address).map(([origin]) => origin);
    let origins: string[];
    try {
      const addresses = await resolve(url.hostname);
      origins = addresses.map((ip) => `http://${isIP(ip) === 6 ? `[${ip}]` : ip}:${url.port || '80'}`);
    } catch (error) {
      if (!unresolved.has(address)) report({ upstream: name, event: 'unresolved', address, err: error });
      unresolved.add(address);
      return;
    }
    for (const origin of origins) if (!endpoints.has(origin)) add(origin, address);
    for (const origin of known) if (!origins.includes(origin)) remove(origin);
    if (unresolved.delete(address)) report({ upstream: name, event: 'resolved', address, origins });
  };

  const names: string[] = [];
  for (const address of settings.addresses) {
    const url = new URL(address);
    const host = url.hostname.replace(/^\[|\]$/g, '');
    // TLS needs the name for its certificate, so that address stays one.
    if (url.protocol === 'https:' || isIP(host) !== 0) add(url.origin, address);
    else names.push(address);
  }
  let resolving = Promise.all(names.map(resolveAddress));
  const timer = setInterval(() => {
    resolving = Promise.all(names.map(resolveAddress));
  }, settings.resolveMs);
  timer.unref();
  const stopHealthChecks = startHealthChecks(settings.healthCheck, () =>
    [...endpoints.values()].map(({ endpoint }) => endpoint),
  );

  const choose = (except?: Endpoint): Endpoint | undefined => {
    let best: Endpoint | undefined;
    // Ties go around, or the first address would get all the requests of a quiet service.
    turn += 1;
    for (let index = 0; index < candidates.length; index += 1) {
      const endpoint = candidates[(index + turn) % candidates.length] as Endpoint;
      if (endpoint === except || !endpoint.isAvailable()) continue;
      if (best === undefined || endpoint.outstanding < best.outstanding) best = endpoint;
    }
    return best ?? (except?.isAvailable() && endpoints.has(except.origin) ? except : undefined);
  };

  return {
    name,
    admission,
    retries,
    choose,
    ready: () => resolving,
    retryAfterSeconds() {
      const waits = [...endpoints.values()].map(({ endpoint }) => endpoint.retryInMs());
      return Math.max(1, Math.ceil(Math.min(...waits, 5_000) / 1_000));
    },
    state: () => ({
      name,
      breaker: [...endpoints.values()].some(({ endpoint }) => endpoint.isAvailable()) ? 'closed' : 'open',
      inFlight: admission.inFlight,
      queued: admission.queued,
      retries: retries.taken,
      retriesRefused: retries.refused,
      endpoints: [...endpoints.values()].map(({ endpoint }) => endpoint.state()),
    }),
    async close() {
      clearInterval(timer);
      stopHealthChecks();
      await resolving;
      // They stay where they are: requests that have their route already are still to choose one.
      const closing = [...endpoints.values()].map(({ endpoint }) => endpoint.transport.close());
      await Promise.all([...closing, ...retired]);
    },
  };
};
