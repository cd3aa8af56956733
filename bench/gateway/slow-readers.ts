import { once } from 'node:events';
import { setTimeout } from 'node:timers/promises';
import { answering, residentMegabytes } from './processes.ts';
import { open, requestBytes } from './raw-client.ts';
import { median, rounded, withProxies, type Bench, type Outcome } from './scenario.ts';
import { largeBytes, paths } from './upstream.ts';

const readers = 1_000;
const atOnce = 50;
const pieceMs = 1_000;
const seconds = 60;

/** A client that takes one piece of the answer a second. */
const slowReader = async (url: URL, bytes: Buffer) => {
  const socket = await open(url);
  let read = 0;
  let status = '';
  socket.on('data', (chunk: Buffer) => {
    status ||= chunk.toString('latin1', 0, 12);
    read += chunk.length;
    socket.pause();
  });
  socket.write(bytes);
  await once(socket, 'data');
  // Seen by isReading.
  socket.on('error', () => undefined);
  const reading = setInterval(() => socket.resume(), pieceMs);
  return {
    close: () => {
      clearInterval(reading);
      socket.destroy();
    },
    read: () => read,
    isReading: () => status === 'HTTP/1.1 200' && socket.readyState === 'open' && read < largeBytes,
  };
};

/** Memory while 1,000 clients take a body of 10 MB a piece a second each, which none of them gets to the end of. */
export const measureSlowReaders = ({ surroundings }: Bench): Promise<Outcome> =>
  withProxies(surroundings, ['ours'], async ([ours]) => {
    if (!ours) throw new Error('nothing was started');
    const { origin, pid } = ours;
    const before = residentMegabytes(pid);
    const url = new URL(paths.download, origin);
    const bytes = requestBytes(url, surroundings.headers);
    const all: Awaited<ReturnType<typeof slowReader>>[] = [];
    while (all.length < readers) {
      all.push(...(await Promise.all(Array.from({ length: atOnce }, () => slowReader(url, bytes)))));
    }
    const samples: number[] = [];
    for (let second = 0; second < seconds; second += 1) {
      await setTimeout(1_000);
      samples.push(residentMegabytes(pid));
    }
    const lost = all.filter(({ isReading }) => !isReading()).length;
    if (lost > 0) throw new Error(`${lost} of ${readers} slow readers were not served to the last`);
    const readMegabytes = median(all.map(({ read }) => read())) / 1_000_000;
    for (const { close } of all) close();
    await answering('The gateway after slow readers', `${origin}${paths.small}`, surroundings.headers);

    const third = Math.floor(seconds / 3);
    const [first, last] = [median(samples.slice(0, third)), median(samples.slice(-third))];
    const most = Math.max(...samples);
    return {
      ratios: {
        'slow-readers-rss/body': rounded(((most - before) * 2 ** 20) / readers / largeBytes),
        'slow-readers-rss-end/start': rounded(last / first),
      },
      figures: {
        ours: {
          slowReaders: readers,
          readMegabytesEach: rounded(readMegabytes),
          residentMegabytesBefore: rounded(before),
          residentMegabytesFirstThird: rounded(first),
          residentMegabytesLastThird: rounded(last),
          residentMegabytesMost: rounded(most),
        },
      },
    };
  });
