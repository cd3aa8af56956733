import { nodePeerNames, proxyNames, type Proxy } from './proxies.ts';
import { column, inRounds, type Slice, type Slices } from './rounds.ts';
import { median, medianRatio, rounded, withProxies, type Bench, type Outcome } from './scenario.ts';
import { paths } from './upstream.ts';
import { load, type LoadReport } from './wrk.ts';

const connections = 64;
const seconds = 3;

export interface NodePeerMaximum {
  name: (typeof nodePeerNames)[number];
  perSecond: number;
}

type Value = (slice: Slice<LoadReport>) => number;
const perSecond: Value = (slice) => slice.perSecond;
const cpuUsPerRequest: Value = (slice) => (slice.cpuMs * 1_000) / slice.requests;

const fastestOf = (slices: Slices<LoadReport>): NodePeerMaximum => {
  const maxima = nodePeerNames.map((name) => ({ name, perSecond: median(column(slices, name, perSecond)) }));
  return maxima.reduce((best, peer) => (peer.perSecond > best.perSecond ? peer : best));
};

const loadInRounds = (
  { place, surroundings: { headers } }: Bench,
  proxies: readonly Proxy[],
  rounds: number,
): Promise<Slices<LoadReport>> =>
  inRounds(proxies, rounds, place, {
    seconds,
    run: ({ origin }, seconds) => load({ url: `${origin}${paths.small}`, headers, connections, seconds }),
  });

/** A quick look, for who needs no more of the peers. */
export const findFastestNodePeer = (bench: Bench): Promise<NodePeerMaximum> =>
  withProxies(bench.surroundings, nodePeerNames, async (proxies) =>
    fastestOf(await loadInRounds(bench, proxies, 3)),
  );

/** As many requests per second as each can do. */
export const measureThroughput = (bench: Bench): Promise<Outcome & { fastest: NodePeerMaximum }> =>
  withProxies(bench.surroundings, proxyNames, async (proxies) => {
    const slices = await loadInRounds(bench, proxies, bench.rounds);
    const fastest = fastestOf(slices);
    const ratioTo = (name: string, value: Value): number =>
      rounded(medianRatio(column(slices, 'ours', value), column(slices, name, value)));
    const others = proxyNames.filter((name) => name !== 'ours');
    const medianOf = (name: string, value: Value): number => rounded(median(column(slices, name, value)));
    return {
      fastest,
      ratios: {
        ...Object.fromEntries(others.map((name) => [`rps/${name}`, ratioTo(name, perSecond)])),
        'rps/best-node-peer': ratioTo(fastest.name, perSecond),
        ...Object.fromEntries(others.map((name) => [`cpu/${name}`, ratioTo(name, cpuUsPerRequest)])),
        'cpu/best-node-peer': ratioTo(fastest.name, cpuUsPerRequest),
      },
      figures: Object.fromEntries(
        proxyNames.map((name) => [
          name,
          {
            requestsPerSecond: medianOf(name, perSecond),
            cpuUsPerRequest: medianOf(name, cpuUsPerRequest),
            p50Ms: medianOf(name, (slice) => slice.p50Us / 1_000),
            p99Ms: medianOf(name, (slice) => slice.p99Us / 1_000),
          },
        ]),
      ),
    };
  });
