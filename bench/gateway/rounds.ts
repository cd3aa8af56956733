import { busyMs, cpuMs, cpuWithEndedMs } from './processes.ts';
import type { Proxy } from './proxies.ts';
import type { Upstream } from './upstream.ts';

/** Where measurements take place: the proxy alone on one core, this process, wrk and the upstream on the other. */
export interface Place {
  proxyCore: number;
  loadCore: number;
  upstream: Upstream;
}

/** A load for a proxy: as much of it as is measured, and as much as a warm-up takes. */
export interface Work<Report> {
  run: (proxy: Proxy, seconds: number) => Promise<Report>;
  seconds: number;
  /** A slice is measured again, twice at most, if others had more than this share of either core. Default: 0.06. */
  tolerated?: number;
}

/** What was measured in one go, and the processor time that the proxy had for it, user and system. */
export type Slice<Report> = Report & { cpuMs: number };

/** By the proxy's name, one a round. */
export type Slices<Report> = ReadonlyMap<string, readonly Slice<Report>[]>;

/** Before the first round, for compilers, and before each slice, for connections and caches. */
const firstWarmUpSeconds = 5;
const warmUpSeconds = 1;
const attempts = 3;

const measure = async <Report>(
  proxy: Proxy,
  place: Place,
  { run, seconds }: Work<Report>,
): Promise<{ slice: Slice<Report>; others: number }> => {
  const look = () => ({
    ms: performance.now(),
    proxy: cpuMs(proxy.pid),
    load: cpuMs(place.upstream.pid) + cpuWithEndedMs(process.pid),
    proxyCore: busyMs(place.proxyCore),
    loadCore: busyMs(place.loadCore),
  });
  const before = look();
  const report = await run(proxy, seconds);
  const after = look();
  const spent = (key: keyof typeof before): number => after[key] - before[key];
  const othersMs = Math.max(spent('proxyCore') - spent('proxy'), spent('loadCore') - spent('load'));
  return { slice: { ...report, cpuMs: spent('proxy') }, others: othersMs / spent('ms') };
};

const quietest = async <Report>(proxy: Proxy, place: Place, work: Work<Report>): Promise<Slice<Report>> => {
  const { tolerated = 0.06 } = work;
  await work.run(proxy, warmUpSeconds);
  let best = await measure(proxy, place, work);
  for (let attempt = 1; attempt < attempts && best.others > tolerated; attempt += 1) {
    const again = await measure(proxy, place, work);
    if (again.others < best.others) best = again;
  }
  return best.slice;
};

const named = async <Result>(proxy: Proxy, result: Promise<Result>): Promise<Result> => {
  try {
    return await result;
  } catch (error) {
    throw new Error(`${proxy.name}: ${(error as Error).message}`, { cause: error });
  }
};

/**
 * Loads proxies in turn, round after round, every round from another one on and every other round backwards, so that
 * whatever else the machine does hits them all alike.
 *
 * @throws {Error} that names the proxy whose load failed.
 */
export const inRounds = async <Report>(
  proxies: readonly Proxy[],
  rounds: number,
  place: Place,
  work: Work<Report>,
): Promise<Slices<Report>> => {
  const slices = new Map<string, Slice<Report>[]>(proxies.map(({ name }) => [name, []]));
  for (const proxy of proxies) await named(proxy, work.run(proxy, firstWarmUpSeconds));
  for (let round = 0; round < rounds; round += 1) {
    const first = round % proxies.length;
    const order = [...proxies.slice(first), ...proxies.slice(0, first)];
    for (const proxy of round % 2 === 0 ? order : order.toReversed()) {
      slices.get(proxy.name)?.push(await named(proxy, quietest(proxy, place, work)));
    }
  }
  return slices;
};

/** One number of each of a proxy's slices. */
export const column = <Report>(
  slices: Slices<Report>,
  name: string,
  value: (slice: Slice<Report>) => number,
): number[] => (slices.get(name) ?? []).map(value);
