/** One request that is over. */
export interface FinishedRequest {
  ms: number;
  status: number;
  route: string;
  /** What went wrong: why the upstream gave no whole answer, or the code of the gateway's own problem. */
  cause: string | undefined;
}

/** One second. */
export interface Second {
  requests: number;
  errors: number;
  p50Ms: number;
  p99Ms: number;
}

export interface RecentRequests {
  add(request: FinishedRequest): void;
  /** What was refused before it was a request. */
  addRefused(cause: string): void;
  /** The seconds up to now, oldest first. */
  seconds(): Second[];
  /** Errors of these seconds, most frequent first. */
  errors(): { route: string; cause: string; count: number }[];
}

interface Bucket {
  second: number;
  requests: number;
  errors: number;
  /** A sample, bounded, so that a busy second costs no more than a quiet one. */
  sample: number[];
  causes: Map<string, number>;
}

export const shownSeconds = 120;
const sampleSize = 256;

/** What happened lately, for a person who looks. @param now milliseconds */
export const createRecentRequests = (now: () => number): RecentRequests => {
  let buckets: Bucket[] = [];
  const current = (): Bucket => {
    const second = Math.floor(now() / 1_000);
    const last = buckets.at(-1);
    if (last?.second === second) return last;
    const bucket: Bucket = { second, requests: 0, errors: 0, sample: [], causes: new Map() };
    buckets = [...buckets.filter((old) => old.second > second - shownSeconds), bucket];
    return bucket;
  };
  return {
    add({ ms, status, route, cause }) {
      const bucket = current();
      bucket.requests += 1;
      // Each request of the second has the same chance to be in the sample (reservoir sampling).
      const place =
        bucket.requests <= sampleSize ? bucket.requests - 1 : Math.floor(Math.random() * bucket.requests);
      if (place < sampleSize) bucket.sample[place] = ms;
      if (status >= 400 || cause !== undefined) countError(bucket, route, cause ?? String(status));
    },
    addRefused: (cause) => countError(current(), 'none', cause),
    seconds() {
      const { second } = current();
      const known = new Map(buckets.map((bucket) => [bucket.second, bucket]));
      return Array.from({ length: shownSeconds }, (_, index) =>
        summary(known.get(second - shownSeconds + 1 + index)),
      );
    },
    errors() {
      const counts = new Map<string, number>();
      for (const { causes } of buckets)
        for (const [cause, count] of causes) counts.set(cause, (counts.get(cause) ?? 0) + count);
      return [...counts]
        .map(([key, count]) => ({
          route: key.split(' ')[0] as string,
          cause: key.split(' ')[1] as string,
          count,
        }))
        .toSorted((a, b) => b.count - a.count);
    },
  };
};

const countError = (bucket: Bucket, route: string, cause: string): void => {
  bucket.errors += 1;
  const key = `${route} ${cause}`;
  const count = bucket.causes.get(key) ?? 0;
  if (count > 0 || bucket.causes.size < 100) bucket.causes.set(key, count + 1);
};

const summary = (bucket: Bucket | undefined): Second => {
  if (!bucket) return { requests: 0, errors: 0, p50Ms: 0, p99Ms: 0 };
  const sorted = bucket.sample.toSorted((a, b) => a - b);
  const at = (share: number): number =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  return { requests: bucket.requests, errors: bucket.errors, p50Ms: at(0.5), p99Ms: at(0.99) };
};
