import { loadAtFixedRate, type FixedRateReport } from './fixed-rate.ts';
import { column, inRounds, type Slice } from './rounds.ts';
import { median, medianRatio, rounded, withProxies, type Bench, type Outcome } from './scenario.ts';
import type { NodePeerMaximum } from './throughput.ts';
import { paths } from './upstream.ts';

const connections = 64;
const seconds = 5;

type Value = (slice: Slice<FixedRateReport>) => number;
const p99: Value = (slice) => slice.p99Ms;

/** Latency at half of what the fastest Node peer can do, the same for both. */
export const measureLatency = (
  { rounds, place, surroundings }: Bench,
  fastest: NodePeerMaximum,
): Promise<Outcome> => {
  const perSecond = Math.round(fastest.perSecond / 2);
  const contenders = [fastest.name, 'ours'] as const;
  return withProxies(surroundings, contenders, async (proxies) => {
    const { headers } = surroundings;
    const slices = await inRounds(proxies, rounds, place, {
      seconds,
      // Where a host takes a hundredth of the time, the 99th percentile is the host's.
      tolerated: 0.01,
      run: ({ origin }, seconds) =>
        loadAtFixedRate({ url: new URL(paths.small, origin), headers, perSecond, seconds, connections }),
    });
    const values = (name: string, value: Value): number[] => column(slices, name, value);
    const medianOf = (name: string, value: Value): number => rounded(median(values(name, value)));
    return {
      ratios: { 'p99/best-node-peer': rounded(medianRatio(values('ours', p99), values(fastest.name, p99))) },
      figures: Object.fromEntries(
        contenders.map((name) => [
          name,
          {
            requestsPerSecond: perSecond,
            p50Ms: medianOf(name, (slice) => slice.p50Ms),
            p99Ms: medianOf(name, p99),
            lateP99Ms: medianOf(name, (slice) => slice.lateP99Ms),
          },
        ]),
      ),
    };
  });
};
