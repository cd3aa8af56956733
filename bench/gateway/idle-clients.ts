import { setTimeout } from 'node:timers/promises';
import { residentMegabytes } from './processes.ts';
import { nodePeerNames, type ProxyName } from './proxies.ts';
import { onEachAnswer, open, requestBytes } from './raw-client.ts';
import { rounded, withProxies, type Bench, type Outcome } from './scenario.ts';
import { paths } from './upstream.ts';

const clients = 2_000;
const atOnce = 50;
/** Shorter than the five seconds after which Node's server closes idle connections by default. */
const settleMs = 1_000;
const contenders: readonly ProxyName[] = ['nginx', ...nodePeerNames, 'ours'];

/** A client that asked once and keeps its connection; tells whether that is still open. */
const idleClient = async (url: URL, bytes: Buffer): Promise<{ isOpen: () => boolean; close: () => void }> => {
  const socket = await open(url);
  await new Promise<void>((resolve, reject) => {
    onEachAnswer(socket, resolve, reject);
    socket.write(bytes);
  });
  return { isOpen: () => socket.readyState === 'open', close: () => void socket.destroy() };
};

/** Memory of a fresh process before and with 2,000 clients that asked once and stay. */
export const measureIdleClients = async ({ surroundings }: Bench): Promise<Outcome> => {
  const figures: Record<string, Record<string, number>> = {};
  for (const name of contenders) {
    await withProxies(surroundings, [name], async (proxies) => {
      for (const { origin, pid } of proxies) {
        const before = residentMegabytes(pid);
        const url = new URL(paths.small, origin);
        const bytes = requestBytes(url, surroundings.headers);
        const idle: Awaited<ReturnType<typeof idleClient>>[] = [];
        while (idle.length < clients) {
          idle.push(...(await Promise.all(Array.from({ length: atOnce }, () => idleClient(url, bytes)))));
        }
        await setTimeout(settleMs);
        const megabytes = residentMegabytes(pid);
        const open = idle.filter(({ isOpen }) => isOpen()).length;
        for (const { close } of idle) close();
        figures[name] = {
          idleClients: open,
          residentMegabytesBefore: rounded(before),
          residentMegabytes: rounded(megabytes),
          kilobytesPerClient: rounded(((megabytes - before) * 1_024) / clients),
        };
      }
    });
  }
  const resident = (name: string): number => figures[name]?.['residentMegabytes'] ?? Number.NaN;
  return {
    ratios: Object.fromEntries(
      contenders
        .filter((name) => name !== 'ours')
        .map((name) => [`idle-rss/${name}`, rounded(resident('ours') / resident(name))]),
    ),
    figures,
  };
};
