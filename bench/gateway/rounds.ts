import { busyMs, cpuMs, cpuWithEndedMs } from './processes.ts';
import type { Proxy } from './proxies.ts';
import type { Upstream } from './upstream.ts';
import { load, type Load, type LoadReport } from './wrk.ts';

/** Where measurements take place: the proxy alone on one core, this process, wrk and the upstream on the other. */
export interface Place {
  proxyCore: number;
  loadCore: number;
  upstream: Upstream;
}

/** One load through one proxy. */
export interface Slice extends LoadReport {
  perSecond: number;
  /** Processor time of the proxy, user and system. */
  cpuUsPerRequest: number;
}

/** Before the first round, for compilers, and before each slice, for connections and caches. */
const firstWarmUpSeconds = 5;
const warmUpSeconds = 1;
/** A slice is measured again if others had more of either core, but not for ever. */
const tolerated = 0.06;
const attempts = 3;

const measure = async (
  proxy: Proxy,
  place: Place,
  settings: Load,
): Promise<{ slice: Slice; others: number }> => {
  const look = () => ({
    ms: performance.now(),
    proxy: cpuMs(proxy.pid),
    load: cpuMs(place.upstream.pid) + cpuWithEndedMs(process.pid),
    proxyCore: busyMs(place.proxyCore),
    loadCore: busyMs(place.loadCore),
  });
  const before = look();
  const report = await load(settings);
  const after = look();
  const spent = (key: keyof typeof before): number => after[key] - before[key];
  const others =
    Math.max(spent('proxyCore') - spent('proxy'), spent('loadCore') - spent('load')) / spent('ms');
  const perSecond = (report.requests / report.durationUs) * 1_000_000;
  return {
    slice: { ...report, perSecond, cpuUsPerRequest: (spent('proxy') * 1_000) / report.requests },
    others,
  };
};

const quietest = async (proxy: Proxy, place: Place, settings: Load): Promise<Slice> => {
  let best: { slice: Slice; others: number } | undefined;
  for (let attempt = 0; attempt < attempts && (best?.others ?? 1) > tolerated; attempt += 1) {
    await load({ ...settings, seconds: warmUpSeconds });
    const measured = await measure(proxy, place, settings);
    if (measured.others < (best?.others ?? Infinity)) best = measured;
  }
  if (!best) throw new Error('nothing was measured');
  return best.slice;
};

/**
 * Loads proxies in turn, round after round, every round from another one on and every other round backwards, so that
 * whatever else the machine does hits them all alike.
 *
 * @returns one slice a round for each proxy, by name.
 */
export const inRounds = async (
  proxies: readonly Proxy[],
  rounds: number,
  place: Place,
  settingsOf: (proxy: Proxy) => Load,
): Promise<ReadonlyMap<string, readonly Slice[]>> => {
  const slices = new Map<string, Slice[]>(proxies.map(({ name }) => [name, []]));
  for (const proxy of proxies) await load({ ...settingsOf(proxy), seconds: firstWarmUpSeconds });
  for (let round = 0; round < rounds; round += 1) {
    const first = round % proxies.length;
    const order = [...proxies.slice(first), ...proxies.slice(0, first)];
    for (const proxy of round % 2 === 0 ? order : order.toReversed()) {
      try {
        slices.get(proxy.name)?.push(await quietest(proxy, place, settingsOf(proxy)));
      } catch (error) {
        throw new Error(`${proxy.name}, round ${round + 1}: ${(error as Error).message}`, { cause: error });
      }
    }
  }
  return slices;
};
