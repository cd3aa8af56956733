import type { ServiceState } from '@countersign/service-kit';
import type { TokenVerifier } from '@countersign/shared-auth';
import type { ParameterizedContext } from 'koa';
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import type { ActiveTable } from '../proxy/active-table.ts';
import { type Durations, LatencyHistogram } from './latency-histogram.ts';
import type { RecentRequests } from './recent-requests.ts';

export interface MetricsOptions {
  table: () => ActiveTable;
  verifiers: ReadonlyMap<string, TokenVerifier>;
  recent: RecentRequests;
}

export interface Metrics {
  registry: Registry;
  /** Counts a request whose answer is over. */
  countRequest: (ctx: ParameterizedContext<ServiceState>, ms: number) => void;
  countReload: (outcome: 'ok' | 'refused') => void;
}

/** Metrics for Prometheus, named as OpenTelemetry names them; what has a state of its own is read when it is asked for. */
export const createMetrics = ({ table, verifiers, recent }: MetricsOptions): Metrics => {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  const duration = new LatencyHistogram(
    'http_server_request_duration_seconds',
    'From the head of a request to the end of its answer.',
    registry,
  );
  const upstreamDuration = new LatencyHistogram(
    'gateway_upstream_duration_seconds',
    'From a request sent to an upstream to the head of its answer.',
    registry,
  );
  const refusals = new Counter({
    name: 'gateway_refusals_total',
    help: 'Answers with a problem of the gateway, by its code.',
    labelNames: ['http_route', 'code'],
    registers,
  });
  const reloads = new Counter({
    name: 'gateway_route_reloads_total',
    help: 'Changes of the route table, taken or refused.',
    labelNames: ['outcome'],
    registers,
  });
  observeStates({ table, verifiers, registers });

  // By route, method and status: three look-ups of strings that are known cost less than one of a string that is made.
  const durations = new Map<string, Map<string, Durations[]>>();
  const durationsOf = (method: string, route: string, status: number): Durations => {
    let byMethod = durations.get(route);
    if (!byMethod) durations.set(route, (byMethod = new Map()));
    let byStatus = byMethod.get(method);
    if (!byStatus) byMethod.set(method, (byStatus = []));
    const known = byStatus[status];
    if (known) return known;
    const labels = {
      http_request_method: method,
      http_route: route,
      http_response_status_code: String(status),
    };
    const made = duration.row(labels);
    byStatus[status] = made;
    return made;
  };
  const upstreamDurations = new Map<string, Durations>();
  const upstreamDurationsOf = (upstream: string): Durations => {
    let made = upstreamDurations.get(upstream);
    if (!made) upstreamDurations.set(upstream, (made = upstreamDuration.row({ upstream })));
    return made;
  };

  return {
    registry,
    countReload: (outcome) => reloads.inc({ outcome }),
    countRequest({ req, res, state: { logFields } }, ms) {
      const { method = '' } = req;
      const route = typeof logFields['http.route'] === 'string' ? logFields['http.route'] : 'none';
      const status = res.headersSent ? res.statusCode : 499;
      const { 'error.type': errorType, upstream, upstream_duration_ms: upstreamMs } = logFields;
      const code = typeof errorType === 'string' ? errorType : undefined;
      durationsOf(knownMethods.has(method) ? method : '_OTHER', route, status).observe(ms / 1_000);
      if (code !== undefined) refusals.inc({ http_route: route, code });
      if (typeof upstreamMs === 'number') upstreamDurationsOf(String(upstream)).observe(upstreamMs / 1_000);
      recent.add({ ms, status, route, code });
    },
  };
};

/** A client can make up methods; labels must not grow with them. */
const knownMethods: ReadonlySet<string> = new Set([
  'GET',
  'HEAD',
  'POST',
  'PUT',
  'PATCH',
  'DELETE',
  'OPTIONS',
]);

const observeStates = ({
  table,
  verifiers,
  registers,
}: Pick<MetricsOptions, 'table' | 'verifiers'> & { registers: Registry[] }): void => {
  const gauge = (name: string, help: string, labelNames: string[], collect: (gauge: Gauge) => void): void => {
    const made: Gauge = new Gauge({
      name,
      help,
      labelNames,
      registers,
      collect() {
        made.reset();
        collect(made);
      },
    });
  };
  const upstreams = () => [...table().upstreams.values()].map((upstream) => upstream.state());
  gauge('gateway_upstream_in_flight', 'Requests in flight.', ['upstream'], (made) => {
    for (const { name, inFlight } of upstreams()) made.set({ upstream: name }, inFlight);
  });
  gauge('gateway_upstream_queued', 'Requests that wait for a place.', ['upstream'], (made) => {
    for (const { name, queued } of upstreams()) made.set({ upstream: name }, queued);
  });
  gauge('gateway_upstream_breaker_open', '1 when no address may be tried.', ['upstream'], (made) => {
    for (const { name, breaker } of upstreams()) made.set({ upstream: name }, breaker === 'open' ? 1 : 0);
  });
  gauge(
    'gateway_upstream_endpoint_available',
    '1 when the address may be chosen.',
    ['upstream', 'address'],
    (made) => {
      for (const { name, endpoints } of upstreams()) {
        for (const { origin, state } of endpoints)
          made.set({ upstream: name, address: origin }, state === 'available' ? 1 : 0);
      }
    },
  );
  gauge('gateway_verified_tokens', 'Verified tokens that are remembered.', ['api'], (made) => {
    for (const [api, verifier] of verifiers) made.set({ api }, verifier.stats().cachedTokens);
  });
  gauge('gateway_keys_age_seconds', 'Age of the oldest signing keys in use.', ['api'], (made) => {
    for (const [api, verifier] of verifiers) made.set({ api }, (verifier.stats().keysAgeMs ?? 0) / 1_000);
  });
};
