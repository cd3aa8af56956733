export * from './auth-metrics.ts';
export * from './count-requests.ts';
export * from './create-metrics.ts';
export { type Durations, LatencyHistogram } from './latency-histogram.ts';
export * from './operator-pages.ts';
