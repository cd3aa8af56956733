import { column, inRounds, type Slice } from './rounds.ts';
import { median, medianRatio, rounded, withProxies, type Bench, type Outcome } from './scenario.ts';
import { largeBytes, paths } from './upstream.ts';
import { load, type LoadReport } from './wrk.ts';

const connections = 4;
const seconds = 4;
const contenders = ['nginx', 'ours', 'ours-undici'] as const;
const megabytes = largeBytes / 1_000_000;

type Value = (slice: Slice<LoadReport>) => number;
const megabytesPerSecond: Value = (slice) => slice.perSecond * megabytes;
const cpuUsPerMegabyte: Value = (slice) => (slice.cpuMs * 1_000) / (slice.requests * megabytes);

const directions = {
  down: { path: paths.download, uploadBytes: 0 },
  up: { path: paths.upload, uploadBytes: largeBytes },
};

/** Bodies of 10 MB in both directions, four at a time. */
export const measureBodies = ({ rounds, place, surroundings }: Bench): Promise<Outcome> =>
  withProxies(surroundings, contenders, async (proxies) => {
    const { headers } = surroundings;
    const ratios: Record<string, number> = {};
    const figures: Record<string, Record<string, number>> = {};
    for (const [direction, { path, uploadBytes }] of Object.entries(directions)) {
      const slices = await inRounds(proxies, rounds, place, {
        seconds,
        run: ({ origin }, seconds) =>
          load({ url: `${origin}${path}`, headers, connections, seconds, uploadBytes }),
      });
      const values = (name: string, value: Value): number[] => column(slices, name, value);
      ratios[`body-10MB-${direction}/nginx`] = rounded(
        medianRatio(values('ours', megabytesPerSecond), values('nginx', megabytesPerSecond)),
      );
      for (const name of contenders) {
        figures[`${direction} ${name}`] = {
          megabytesPerSecond: rounded(median(values(name, megabytesPerSecond))),
          cpuUsPerMegabyte: rounded(median(values(name, cpuUsPerMegabyte))),
        };
      }
    }
    return { ratios, figures };
  });
