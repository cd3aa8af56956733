import type { ParameterizedContext } from 'koa';
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import { routeOf, statusOf } from '../completion.ts';
import type { ServiceState } from '../request-context.ts';
import { type Durations, LatencyHistogram } from './latency-histogram.ts';
import { toOpenMetrics } from './open-metrics.ts';

type Labels = Readonly<Record<string, string>>;

/** A state that is read when it is asked for. */
export interface ObservedState {
  name: string;
  help: string;
  /** A counter only grows. Default gauge. */
  type?: 'gauge' | 'counter';
  labelNames?: readonly string[];
  /** Says each value there is now. */
  read: (say: (labels: Labels, value: number) => void) => void;
}

/** The metrics of one service, named as OpenTelemetry names them in Prometheus. */
export interface Metrics {
  /** Counts a request whose answer is over. */
  countRequest: (ctx: ParameterizedContext<ServiceState>, ms: number) => void;
  /** @param name ends in `_seconds` */
  histogram: (name: string, help: string) => LatencyHistogram;
  /** @param name ends in `_total` */
  counter: <Name extends string>(name: string, help: string, labelNames: readonly Name[]) => Counter<Name>;
  observe: (state: ObservedState) => void;
  /** In Prometheus' own format, or in OpenMetrics 1.0, which has exemplars. */
  text: (format: 'prometheus' | 'openmetrics') => Promise<string>;
}

/** Metrics that every service has: its requests, its version, and how its process does. */
export const createMetrics = (service: { name: string; version: string }): Metrics => {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  const metrics: Omit<Metrics, 'countRequest'> = {
    histogram: (name, help) => new LatencyHistogram(name, help, registry),
    counter: (name, help, labelNames) => new Counter({ name, help, labelNames, registers }),
    observe: (state) => observe(state, registers),
    text: async (format) =>
      format === 'prometheus' ? registry.metrics() : toOpenMetrics(await registry.getMetricsAsJSON()),
  };
  metrics.observe({
    name: 'service_info',
    help: 'What runs.',
    labelNames: ['service_name', 'service_version'],
    read: (say) => say({ service_name: service.name, service_version: service.version }, 1),
  });
  return { ...metrics, countRequest: requestCounter(metrics) };
};

const observe = (
  { name, help, type = 'gauge', labelNames = [], read }: ObservedState,
  registers: Registry[],
): void => {
  const options = {
    name,
    help,
    labelNames,
    registers,
    collect() {
      made.reset();
      read((labels, value) => made.inc(labels, value));
    },
  };
  const made: Counter | Gauge = type === 'counter' ? new Counter(options) : new Gauge(options);
};

/** A client can make up methods; labels must not grow with them. */
const knownMethods: ReadonlySet<string> = new Set([
  ...['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'],
]);

const requestCounter = ({
  histogram,
  counter,
}: Pick<Metrics, 'histogram' | 'counter'>): Metrics['countRequest'] => {
  const duration = histogram(
    'http_server_request_duration_seconds',
    'From the head of a request to the end of its answer.',
  );
  const problems = counter(
    'http_server_problems_total',
    'Answers that were a problem or broke off, by code.',
    ['http_route', 'code'],
  );
  // By route, method and status: three look-ups of strings that are known cost less than one of a string that is made.
  const durations = new Map<string, Map<string, Durations[]>>();
  const durationsOf = (method: string, route: string, status: number): Durations => {
    let byMethod = durations.get(route);
    if (!byMethod) durations.set(route, (byMethod = new Map()));
    let byStatus = byMethod.get(method);
    if (!byStatus) byMethod.set(method, (byStatus = []));
    return (byStatus[status] ??= duration.row({
      http_request_method: method,
      http_route: route,
      http_response_status_code: String(status),
    }));
  };
  return (ctx, ms) => {
    const { req, state } = ctx;
    const { method = '' } = req;
    const route = routeOf(ctx) ?? 'none';
    // As nginx counts it: the client left before there was an answer.
    const status = statusOf(ctx) ?? 499;
    durationsOf(knownMethods.has(method) ? method : '_OTHER', route, status).observe(
      ms / 1_000,
      state.requestContext,
    );
    const code = state.logFields['error.type'];
    if (typeof code === 'string') problems.inc({ http_route: route, code });
  };
};
