import type { ServiceState } from '@countersign/service-kit';
import { type Durations, type Metrics, observeVerifiers } from '@countersign/service-kit/metrics';
import type { TokenVerifier } from '@countersign/shared-auth';
import type { ParameterizedContext } from 'koa';
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
  countReload: (outcome: 'ok' | 'refused') => void;
}

/** Upstreams and route table on top of what every service has. */
export const createGatewayMetrics = ({
  metrics,
  table,
  verifiers,
  recent,
}: GatewayMetricsOptions): GatewayMetrics => {
  const upstreamDuration = metrics.histogram(
    'gateway_upstream_duration_seconds',
    'From a request sent to an upstream to the head of its answer.',
  );
  const reloads = metrics.counter(
    'gateway_route_reloads_total',
    'Changes of the route table, taken or refused.',
    ['outcome'],
  );
  observeUpstreams(metrics, table);
  observeVerifiers(metrics, verifiers);

  const upstreamDurations = new Map<string, Durations>();
  const upstreamDurationsOf = (upstream: string): Durations => {
    let made = upstreamDurations.get(upstream);
    if (!made) upstreamDurations.set(upstream, (made = upstreamDuration.row({ upstream })));
    return made;
  };

  return {
    countReload: (outcome) => reloads.inc({ outcome }),
    countRequest(ctx, ms) {
      metrics.countRequest(ctx, ms);
      const { res, state } = ctx;
      const {
        'http.route': route,
        'error.type': code,
        upstream,
        upstream_duration_ms: upstreamMs,
      } = state.logFields;
      if (typeof upstreamMs === 'number') {
        upstreamDurationsOf(String(upstream)).observe(upstreamMs / 1_000, state.requestContext);
      }
      recent.add({
        ms,
        status: res.headersSent ? res.statusCode : 499,
        route: typeof route === 'string' ? route : 'none',
        code: typeof code === 'string' ? code : undefined,
      });
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
