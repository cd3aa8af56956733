import { type ServiceState, statusOf } from '@countersign/service-kit';
import { type Durations, type Metrics, observeVerifiers } from '@countersign/service-kit/metrics';
import type { TokenVerifier } from '@countersign/shared-auth';
import type { ParameterizedContext } from 'koa';
import type { RefusalCause } from '../listener.ts';
import type { ActiveTable } from '../proxy/active-table.ts';
import type { UpstreamState } from '../upstream/upstream.ts';
import type { RecentRequests } from './recent-requests.ts';

export interface GatewayMetricsOptions {
  /** What every service has; added to. */
  metrics: Metrics;
  table: () => ActiveTable;
  verifiers: ReadonlyMap<string, TokenVerifier>;
  recent: RecentRequests;
}

export interface GatewayMetrics {
  /** Counts a request whose answer is over. */
  countRequest: (ctx: ParameterizedContext<ServiceState>, ms: number) => void;
  /** Counts what never became a request. */
  countRefused: (cause: RefusalCause) => void;
  countReload: (outcome: 'ok' | 'refused') => void;
}

/**
 * Why an upstream gave no whole answer, as the log says it. What is not in here is no upstream's doing, and no label: those
 * must not grow with what a record happens to say.
 */
const upstreamCauses: ReadonlySet<unknown> = new Set([
  ...['connect', 'connect_timeout', 'head_timeout', 'idle_timeout', 'total_timeout', 'reset', 'protocol'],
  ...['closed', 'queue_full', 'queue_timeout', 'breaker_open', 'unresolved'],
]);

/** Upstreams and route table on top of what every service has. */
export const createGatewayMetrics = ({
  metrics,
  table,
  verifiers,
  recent,
}: GatewayMetricsOptions): GatewayMetrics => {
  const upstreamDuration = metrics.histogram(
    'gateway_upstream_duration_seconds',
    'Waiting for an upstream: from a request sent to the head of its answer, or until there was none; retries included.',
  );
  const failures = metrics.counter(
    'gateway_upstream_failures_total',
    'Requests that got no answer of an upstream, or not all of it, in spite of retries.',
    ['upstream', 'http_route', 'cause'],
  );
  const refusals = metrics.counter(
    'gateway_connections_refused_total',
    'Connections that were refused, or closed for what could not be read as a request on them.',
    ['cause'],
  );
  const reloads = metrics.counter(
    'gateway_route_reloads_total',
    'Changes of the route table, taken or refused.',
    ['outcome'],
  );
  observeUpstreams(metrics, table);
  observeVerifiers(metrics, verifiers);

  // By route and upstream: two look-ups of strings that are known cost less than one of a string that is made.
  const upstreamDurations = new Map<string, Map<string, Durations>>();
  const upstreamDurationsOf = (upstream: string, route: string): Durations => {
    let byUpstream = upstreamDurations.get(route);
    if (!byUpstream) upstreamDurations.set(route, (byUpstream = new Map()));
    let made = byUpstream.get(upstream);
    if (!made) byUpstream.set(upstream, (made = upstreamDuration.row({ upstream, http_route: route })));
    return made;
  };

  return {
    countRefused(cause) {
      refusals.inc({ cause });
      recent.addRefused(cause);
    },
    countReload: (outcome) => reloads.inc({ outcome }),
    countRequest(ctx, ms) {
      metrics.countRequest(ctx, ms);
      const { state } = ctx;
      const { logFields } = state;
      const upstream = String(logFields['upstream']);
      const route = (logFields['http.route'] as string | undefined) ?? 'none';
      const upstreamMs = logFields['upstream_duration_ms'];
      if (typeof upstreamMs === 'number')
        upstreamDurationsOf(upstream, route).observe(upstreamMs / 1_000, state.requestContext);
      const status = statusOf(ctx);
      let cause = logFields['error.type'] as string | undefined;
      // A client that left has got no failure.
      if (cause !== undefined && status !== undefined && upstreamCauses.has(logFields['cause'])) {
        cause = logFields['cause'] as string;
        failures.inc({ upstream, http_route: route, cause });
      }
      recent.add({ ms, status: status ?? 499, route, cause });
    },
  };
};

const observeUpstreams = (metrics: Metrics, table: () => ActiveTable): void => {
  const upstreams = () => [...table().upstreams.values()].map((upstream) => upstream.state());
  const observe = (name: string, help: string, read: (state: UpstreamState) => number): void =>
    metrics.observe({
      name,
      help,
      type: name.endsWith('_total') ? 'counter' : 'gauge',
      labelNames: ['upstream'],
      read: (say) => {
        for (const state of upstreams()) say({ upstream: state.name }, read(state));
      },
    });
  observe('gateway_upstream_in_flight', 'Requests in flight.', ({ inFlight }) => inFlight);
  observe('gateway_upstream_queued', 'Requests that wait for a place.', ({ queued }) => queued);
  observe('gateway_upstream_breaker_open', '1 when no address may be tried.', ({ breaker }) =>
    breaker === 'open' ? 1 : 0,
  );
  observe('gateway_upstream_retries_total', 'Requests that were sent again.', ({ retries }) => retries);
  observe(
    'gateway_upstream_retries_refused_total',
    'Requests that were not sent again because the budget of retries was spent.',
    ({ retriesRefused }) => retriesRefused,
  );
  metrics.observe({
    name: 'gateway_upstream_ejections_total',
    help: 'How often the address was left out for its failures.',
    type: 'counter',
    labelNames: ['upstream', 'address'],
    read: (say) => {
      for (const { name, endpoints } of upstreams()) {
        for (const { origin, ejections } of endpoints) say({ upstream: name, address: origin }, ejections);
      }
    },
  });
  metrics.observe({
    name: 'gateway_upstream_endpoint_available',
    help: '1 when the address may be chosen.',
    labelNames: ['upstream', 'address'],
    read: (say) => {
      for (const { name, endpoints } of upstreams()) {
        for (const { origin, state } of endpoints)
          say({ upstream: name, address: origin }, state === 'available' ? 1 : 0);
      }
    },
  });
};
