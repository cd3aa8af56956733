import { randomBytes, randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { startEntra } from './gateway/entra.ts';
import { moveTo } from './gateway/processes.ts';
import { toTable, type Bench, type Figures, type Outcome } from './gateway/scenario.ts';
import { measureThroughput } from './gateway/throughput.ts';
import { startUpstream } from './gateway/upstream.ts';

/*
 * The gateway as shipped next to what else people put there: nginx, haproxy and bare Node proxies. The proxy under test
 * has one core to itself; the upstream (nginx) and whoever loads it have the other.
 */

const rounds = Number(process.env['ROUNDS'] ?? 7);
const proxyCore = 0;
const loadCore = 1;

const search = (process.env['PATH'] ?? '').split(delimiter).concat('/usr/sbin');
process.env['PATH'] = search.join(delimiter);
const missing = ['nginx', 'haproxy', 'wrk', 'taskset'].filter(
  (program) => !search.some((folder) => existsSync(join(folder, program))),
);
if (missing.length > 0 || availableParallelism() < 2) {
  const lacking = missing.length > 0 ? missing.join(', ') : 'a second core';
  process.stderr.write(
    `bench:gateway needs Linux with two cores, nginx, haproxy and wrk: there is no ${lacking}.\n`,
  );
  process.exit(1);
}
moveTo(loadCore);

const folder = await mkdtemp(join(tmpdir(), 'bench-gateway-'));
// nginx's workers need not be who they were started by.
await chmod(folder, 0o755);
const entra = await startEntra(folder);
const upstream = await startUpstream(folder, loadCore);
const headers = {
  authorization: `Bearer ${entra.token}`,
  accept: 'application/json',
  'user-agent': 'caller-api/1.0',
  'x-request-id': randomUUID(),
  traceparent: `00-${randomBytes(16).toString('hex')}-${randomBytes(8).toString('hex')}-01`,
};
const bench: Bench = {
  rounds,
  place: { proxyCore, loadCore, upstream },
  surroundings: { folder, core: proxyCore, upstream, entra, headers },
};

const scenarios: Readonly<Record<string, () => Promise<Outcome>>> = {
  rps: () => measureThroughput(bench),
};

const only = process.env['ONLY'];
const ratios: Record<string, number> = {};
const medians: Record<string, Figures> = {};
for (const [name, measure] of Object.entries(scenarios)) {
  if (only !== undefined && only !== name) continue;
  const outcome = await measure();
  process.stderr.write(`${name}\n${toTable(outcome.figures)}`);
  Object.assign(ratios, outcome.ratios);
  medians[name] = outcome.figures;
}
await upstream.stop();
await entra.close();
await rm(folder, { recursive: true });

process.stderr.write(
  Object.entries(ratios)
    .map(([name, value]) => `  ${name.padEnd(32)}${value}\n`)
    .join(''),
);
process.stdout.write(
  `${JSON.stringify({ bench: 'gateway', node: process.version, rounds, ratios, medians })}\n`,
);

/** What the gateway promises. */
const bars: readonly { ratio: string; atLeast?: number; atMost?: number; promise: string }[] = [
  { ratio: 'rps/nginx', atLeast: 0.45, promise: '0.45 of the requests per second of nginx' },
  { ratio: 'rps/best-node-peer', atLeast: 1.6, promise: '1.6 times those of the fastest Node peer' },
  { ratio: 'cpu/best-node-peer', atMost: 1 / 1.6, promise: 'a 1.6th of the processor time of that peer' },
];
for (const { ratio, atLeast = -Infinity, atMost = Infinity, promise } of bars) {
  const value = ratios[ratio];
  if (value === undefined || (value >= atLeast && value <= atMost)) continue;
  process.stderr.write(`  missed: ${promise} (${ratio} is ${value})\n`);
  process.exitCode = 1;
}
