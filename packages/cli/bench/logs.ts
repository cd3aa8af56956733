/**
 * `npm run bench:logs`: how long `countersign logs` takes for a million lines, and what memory it needs. Fails above ten
 * seconds of processor time, which other work on the machine does not change much. The lines are made beforehand, and come out of a file as `kubectl logs` would write it.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cold, linesOf, refused, warm } from '../test/logs/fixtures.ts';

const lineCount = 1_000_000;
const limitSeconds = 10;
const rounds = 3;

const folder = await mkdtemp(join(tmpdir(), 'bench-logs-'));
const file = join(folder, 'log.ndjson');

const write = async (): Promise<number> => {
  const stream = createWriteStream(file);
  let lines = 0;
  for (let trace = 1; lines < lineCount; trace += 1) {
    const made = linesOf([warm, warm, warm, cold, refused][trace % 5] ?? warm, trace);
    lines += made.length;
    if (!stream.write(`${made.join('\n')}\n`)) await once(stream, 'drain');
  }
  stream.end();
  await once(stream, 'close');
  return lines;
};

const measure = async (): Promise<{ seconds: number; cpuSeconds: number; megabytes: number }> => {
  const main = fileURLToPath(new URL('../src/main.ts', import.meta.url));
  const startMs = performance.now();
  const child = spawn(process.execPath, ['--conditions=source', main, 'logs', file, '--status', '4xx'], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  let peakKilobytes = 0;
  let ticks = 0;
  const timer = setInterval(async () => {
    const status = await readFile(`/proc/${child.pid}/status`, 'utf8').catch(() => '');
    const times = await readFile(`/proc/${child.pid}/stat`, 'utf8').catch(() => '');
    // Fields 14 and 15 of proc_pid_stat(5): user and system time in hundredths of a second.
    const [user = 0, system = 0] = times.split(' ').slice(13, 15).map(Number);
    ticks = Math.max(ticks, user + system);
    peakKilobytes = Math.max(peakKilobytes, Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0));
  }, 50);
  await once(child, 'close');
  clearInterval(timer);
  const seconds = (performance.now() - startMs) / 1000;
  return { seconds, cpuSeconds: ticks / 100, megabytes: peakKilobytes / 1024 };
};

const median = (numbers: readonly number[]): number =>
  numbers.toSorted((left, right) => left - right)[Math.floor(numbers.length / 2)] ?? 0;
try {
  const lines = await write();
  const measured = [];
  for (let round = 0; round < rounds; round += 1) measured.push(await measure());
  const seconds = median(measured.map((each) => each.seconds));
  const cpuSeconds = median(measured.map((each) => each.cpuSeconds));
  const megabytes = median(measured.map((each) => each.megabytes));
  const medians = {
    lines,
    seconds: Number(seconds.toFixed(2)),
    cpuSeconds,
    megabytes: Math.round(megabytes),
  };
  process.stdout.write(
    `${JSON.stringify({ bench: 'logs', node: process.version, rounds, ratios: {}, medians })}\n`,
  );
  process.exitCode = cpuSeconds < limitSeconds ? 0 : 1;
} finally {
  await rm(folder, { recursive: true });
}
