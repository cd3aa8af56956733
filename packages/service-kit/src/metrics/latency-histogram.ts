import type { Metric, MetricObjectWithValues, MetricValueWithName, Registry } from 'prom-client';
import { isSampled, type RequestContext } from '../request-context.ts';

const bounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** A value that was seen, and where (OpenMetrics 1.0, "Exemplars"). */
interface Exemplar {
  labelSet: { trace_id: string };
  value: number;
  /** Seconds since 1970. */
  timestamp: number;
}

export type Sample = MetricValueWithName<string> & { exemplar?: Exemplar };

/** The durations that were seen with one set of labels. */
export class Durations {
  readonly labels: Readonly<Record<string, string>>;
  /** By bucket, one more than there are bounds. */
  readonly counts = Array.from({ length: bounds.length + 1 }, () => 0);
  sum = 0;
  /** The last value of each bucket that a sampled trace tells more about. */
  readonly #contexts: (RequestContext | undefined)[] = [];
  readonly #values: number[] = [];
  readonly #timesMs: number[] = [];

  constructor(labels: Readonly<Record<string, string>>) {
    this.labels = labels;
  }

  observe(seconds: number, context?: RequestContext): void {
    let bucket = 0;
    while (bucket < bounds.length && seconds > (bounds[bucket] as number)) bucket += 1;
    (this.counts[bucket] as number) += 1;
    this.sum += seconds;
    if (context === undefined || !isSampled(context)) return;
    this.#contexts[bucket] = context;
    this.#values[bucket] = seconds;
    this.#timesMs[bucket] = Date.now();
  }

  samples(name: string): Sample[] {
    let count = 0;
    const buckets = this.counts.map((more, bucket): Sample => {
      count += more;
      const labels = { ...this.labels, le: bounds[bucket] ?? '+Inf' };
      const sample = { labels, value: count, metricName: `${name}_bucket` };
      const exemplar = this.#exemplar(bucket);
      return exemplar ? { ...sample, exemplar } : sample;
    });
    return [
      ...buckets,
      { labels: this.labels, value: this.sum, metricName: `${name}_sum` },
      { labels: this.labels, value: count, metricName: `${name}_count` },
    ];
  }

  #exemplar(bucket: number): Exemplar | undefined {
    const context = this.#contexts[bucket];
    if (context === undefined) return undefined;
    return {
      labelSet: { trace_id: context.traceId },
      value: this.#values[bucket] as number,
      timestamp: (this.#timesMs[bucket] as number) / 1_000,
    };
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
  readonly #rows = new Map<string, Durations>();

  constructor(name: string, help: string, registry: Registry) {
    this.name = name;
    this.help = help;
    registry.registerMetric(this as unknown as Metric);
  }

  /** The row with these labels. */
  row(labels: Readonly<Record<string, string>>): Durations {
    const key = Object.values(labels).join('\n');
    let row = this.#rows.get(key);
    if (!row) this.#rows.set(key, (row = new Durations(labels)));
    return row;
  }

  /** For the registry. */
  get(): Omit<MetricObjectWithValues<Sample>, 'collect'> {
    const { name, help, aggregator } = this;
    const values = [...this.#rows.values()].flatMap((row) => row.samples(name));
    return { name, help, type: this.type as never, aggregator, values };
  }
}
