import { nodePeerNames, proxyNames, type Proxy } from './proxies.ts';
import { inRounds, type Slice } from './rounds.ts';
import { median, medianRatio, rounded, withProxies, type Bench, type Outcome } from './scenario.ts';
import { paths } from './upstream.ts';

const connections = 64;
const seconds = 3;

type Slices = ReadonlyMap<string, readonly Slice[]>;
const column = (slices: Slices, name: string, key: keyof Slice): number[] =>
  (slices.get(name) ?? []).map((slice) => slice[key]);

export interface NodePeerMaximum {
  name: (typeof nodePeerNames)[number];
  perSecond: number;
}

const fastestNodePeer = (slices: Slices): NodePeerMaximum => {
  const maxima = nodePeerNames.map((name) => ({
    name,
    perSecond: median(column(slices, name, 'perSecond')),
  }));
  return maxima.reduce((best, peer) => (peer.perSecond > best.perSecond ? peer : best));
};

const load = (bench: Bench, proxies: readonly Proxy[], rounds: number): Promise<Slices> =>
  inRounds(proxies, rounds, bench.place, ({ origin }) => ({
    url: `${origin}${paths.small}`,
    headers: bench.surroundings.headers,
    connections,
    seconds,
  }));

/** A quick look at which peer is the fastest, for scenarios that need no more of it. */
export const findFastestNodePeer = (bench: Bench): Promise<NodePeerMaximum> =>
  withProxies(bench.surroundings, nodePeerNames, async (proxies) =>
    fastestNodePeer(await load(bench, proxies, 3)),
  );

/** As many requests per second as each can do, over 64 connections. */
export const measureThroughput = (bench: Bench): Promise<Outcome & { fastest: NodePeerMaximum }> =>
  withProxies(bench.surroundings, proxyNames, async (proxies) => {
    const slices = await load(bench, proxies, bench.rounds);
    const fastest = fastestNodePeer(slices);
    const ratioTo = (name: string, key: keyof Slice, who = 'ours'): number =>
      rounded(medianRatio(column(slices, who, key), column(slices, name, key)));
    const others = proxyNames.filter((name) => name !== 'ours');
    return {
      fastest,
      ratios: {
        ...Object.fromEntries(others.map((name) => [`rps/${name}`, ratioTo(name, 'perSecond')])),
        'rps/best-node-peer': ratioTo(fastest.name, 'perSecond'),
        'cpu/nginx': ratioTo('nginx', 'cpuUsPerRequest'),
        'cpu/best-node-peer': ratioTo(fastest.name, 'cpuUsPerRequest'),
      },
      figures: Object.fromEntries(
        proxyNames.map((name) => [
          name,
          {
            requestsPerSecond: Math.round(median(column(slices, name, 'perSecond'))),
            cpuUsPerRequest: rounded(median(column(slices, name, 'cpuUsPerRequest'))),
            p50Ms: rounded(median(column(slices, name, 'p50Us')) / 1_000),
            p99Ms: rounded(median(column(slices, name, 'p99Us')) / 1_000),
          },
        ]),
      ),
    };
  });
