import type { Metric, MetricObjectWithValues, MetricValueWithName, Registry } from 'prom-client';

const bounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** The durations that were seen with one set of labels. */
export class Durations {
  readonly labels: Readonly<Record<string, string>>;
  /** By bucket, one more than there are bounds. */
  readonly counts = Array.from({ length: bounds.length + 1 }, () => 0);
  sum = 0;

  constructor(labels: Readonly<Record<string, string>>) {
    this.labels = labels;
  }

  observe(seconds: number): void {
    let bucket = 0;
    while (bucket < bounds.length && seconds > (bounds[bucket] as number)) bucket += 1;
    (this.counts[bucket] as number) += 1;
    this.sum += seconds;
  }
}

/**
 * A histogram of durations in seconds, for prom-client's registry. prom-client's own looks its labels up by a hash at each
 * observation; this one is observed by whoever holds a row.
 */
export class LatencyHistogram {
  readonly name: string;
  readonly help: string;
  readonly type = 'histogram';
  readonly aggregator = 'sum';
  readonly #rows: Durations[] = [];

  constructor(name: string, help: string, registry: Registry) {
    this.name = name;
    this.help = help;
    registry.registerMetric(this as unknown as Metric);
  }

  /** A new row. Its labels differ from those of all others. */
  row(labels: Readonly<Record<string, string>>): Durations {
    const row = new Durations(labels);
    this.#rows.push(row);
    return row;
  }

  /** For the registry. */
  get(): Omit<MetricObjectWithValues<MetricValueWithName<string>>, 'collect'> {
    const { name, help, aggregator } = this;
    const values = this.#rows.flatMap((row) => valuesOf(name, row));
    return { name, help, type: this.type as never, aggregator, values };
  }
}

const valuesOf = (name: string, { labels, counts, sum }: Durations): MetricValueWithName<string>[] => {
  let count = 0;
  const buckets = counts.map((more, bucket) => {
    count += more;
    return {
      labels: { ...labels, le: bounds[bucket] ?? '+Inf' },
      value: count,
      metricName: `${name}_bucket`,
    };
  });
  return [
    ...buckets,
    { labels, value: sum, metricName: `${name}_sum` },
    { labels, value: count, metricName: `${name}_count` },
  ];
};
