import type { MetricObjectWithValues, MetricValue } from 'prom-client';
import type { Sample } from './latency-histogram.ts';

export const openMetricsType = 'application/openmetrics-text; version=1.0.0; charset=utf-8';

/**
 * OpenMetrics 1.0. prom-client's own way of writing it changes the names of counters for good, so that a registry can be
 * read in one format alone.
 */
export const toOpenMetrics = (metrics: readonly MetricObjectWithValues<MetricValue<string>>[]): string =>
  `${metrics.map(family).join('')}# EOF\n`;

const family = ({ name, help, type, values }: MetricObjectWithValues<MetricValue<string>>): string => {
  const isCounter = String(type) === 'counter';
  const familyName = isCounter ? name.replace(/_total$/, '') : name;
  const lines = (values as Sample[]).map(({ metricName, labels, value, exemplar }) => {
    const sampleName = isCounter ? `${familyName}_total` : (metricName ?? name);
    const line = `${sampleName}${labelSet(labels)} ${number(value)}`;
    return exemplar
      ? `${line} # ${labelSet(exemplar.labelSet)} ${exemplar.value} ${exemplar.timestamp}`
      : line;
  });
  const head = [`# HELP ${familyName} ${escaped(help)}`, `# TYPE ${familyName} ${String(type)}`];
  return `${[...head, ...lines].join('\n')}\n`;
};

const labelSet = (labels: Partial<Record<string, string | number>>): string => {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escaped(String(value))}"`);
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
};

const escaped = (text: string): string =>
  text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('"', '\\"');

const number = (value: number): string =>
  Number.isFinite(value) ? String(value) : value > 0 ? '+Inf' : value < 0 ? '-Inf' : 'NaN';
