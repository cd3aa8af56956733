/**
 * `npm run measure:containers`: what docs/containers.md says of a clean clone, on this machine. Ends with one line of
 * JSON, and with 1 where a bar is missed.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as after } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { freePort } from './free-port.ts';

const restMs = 60_000;
const ours = ['gateway', 'caller-api', 'records-api', 'local-entra'];

const clone = mkdtempSync(join(tmpdir(), 'countersign-measure-'));
const environment = { ...process.env, GATEWAY_PORT: String(await freePort()) };
const run = (command: string, ...parameters: string[]): string =>
  execFileSync(command, parameters, {
    cwd: clone,
    env: environment,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
    maxBuffer: 64 * 1024 * 1024,
  }).trim();
const compose = (...parameters: string[]): string =>
  run('docker', 'compose', '--project-name', 'countersign-measure', ...parameters);

const measured: Record<string, number> = {};
let missed = 0;
const note = (name: string, value: number, bar: number): void => {
  measured[name] = Math.round(value * 10) / 10;
  if (value >= bar) missed += 1;
  process.stderr.write(
    `${name}: ${measured[name]}, ${value < bar ? 'under' : 'NOT UNDER'} ${bar} (load ${loadavg()[0]?.toFixed(1)})\n`,
  );
};
const secondsOf = (work: () => void): number => {
  const startMs = performance.now();
  work();
  return (performance.now() - startMs) / 1_000;
};
const sizeOf = (image: string): number =>
  Number(run('docker', 'image', 'inspect', '--format', '{{.Size}}', image)) / 1e6;

/** Seconds from a saved file until the page shows it. */
const watched = async (): Promise<number> => {
  const page = join(clone, 'services/caller-api/src/pages/records-page.ts');
  const watch = spawn('docker', ['compose', '--project-name', 'countersign-measure', 'watch', '--no-up'], {
    cwd: clone,
    env: environment,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await new Promise<void>((resolve) => {
    watch.stdout.on('data', (text) => {
      if (String(text).includes('Watch enabled')) resolve();
    });
  });
  // It says so a moment before it does.
  await after(3_000);
  writeFileSync(page, readFileSync(page, 'utf8').replace('<h1>Records</h1>', '<h1>Watched</h1>'));
  const startMs = performance.now();
  const url = `http://localhost:${environment.GATEWAY_PORT}/caller/records`;
  while (performance.now() - startMs < restMs) {
    const response = await fetch(url, { headers: { accept: 'text/html' } }).catch(() => undefined);
    if ((await response?.text())?.includes('<h1>Watched</h1>')) break;
    await after(100);
  }
  const seconds = (performance.now() - startMs) / 1_000;
  watch.kill('SIGINT');
  await once(watch, 'close');
  return seconds;
};

try {
  run('git', 'clone', '--quiet', fileURLToPath(new URL('../..', import.meta.url)), clone);
  // No layer of an earlier build fits; npm's cache stays.
  run('npm', 'pkg', 'set', `measured=${Date.now()}`);
  note(
    'up cold, s',
    secondsOf(() => compose('up', '--build', '--wait')),
    90,
  );
  for (const service of ours)
    note(`${service} over base, MB`, sizeOf(`countersign/${service}`) - sizeOf('node:26-trixie-slim'), 120);
  await after(restMs);
  for (const service of ours) {
    const name = `countersign-measure-${service}-1`;
    const used = run('docker', 'stats', '--no-stream', '--format', '{{.MemUsage}}', name);
    note(`${service} at rest, MiB`, Number(/^([\d.]+)MiB/.exec(used)?.[1]), 90);
  }
  compose('down');
  note(
    'up warm, s',
    secondsOf(() => compose('up', '--build', '--wait')),
    15,
  );
  appendFileSync(join(clone, 'services/records-api/src/app.ts'), '// One line more.\n');
  note(
    'build after a line, s',
    secondsOf(() => compose('build')),
    10,
  );
  // To be watched, containers have to be those of their images.
  compose('up', '--wait');
  note('watch: page after a change, s', await watched(), 30);
} finally {
  compose('down', '--volumes');
  rmSync(clone, { recursive: true });
}
process.stdout.write(`${JSON.stringify({ node: process.version, load: loadavg()[0], measured })}\n`);
process.exitCode = missed === 0 ? 0 : 1;
