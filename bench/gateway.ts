import { randomBytes, randomUUID } from 'node:crypto';
import { existsSync, rmSync } from 'node:fs';
import { chmod, mkdtemp } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { measureBodies } from './gateway/bodies.ts';
import { startEntra } from './gateway/entra.ts';
import { measureIdleClients } from './gateway/idle-clients.ts';
import { measureLatency } from './gateway/latency.ts';
import { moveTo } from './gateway/processes.ts';
import { toTable, type Bench, type Figures, type Outcome } from './gateway/scenario.ts';
import { measureSlowReaders } from './gateway/slow-readers.ts';
import { findFastestNodePeer, measureThroughput, type NodePeerMaximum } from './gateway/throughput.ts';
import { startUpstream } from './gateway/upstream.ts';

/*
 * The gateway as shipped next to what else people put there: nginx, haproxy and bare Node proxies. The proxy under test
 * has one core to itself; the upstream (nginx) and whoever loads it have the other.
 */

const rounds = Number(process.env['ROUNDS'] ?? 7);
const only = process.env['ONLY'];
const proxyCore = 0;
const loadCore = 1;

let fastest: NodePeerMaximum | undefined;
const scenarios: Readonly<Record<string, (bench: Bench) => Promise<Outcome>>> = {
  rps: async (bench) => {
    const outcome = await measureThroughput(bench);
    ({ fastest } = outcome);
    return outcome;
  },
  p99: async (bench) => measureLatency(bench, fastest ?? (await findFastestNodePeer(bench))),
  bodies: measureBodies,
  idle: measureIdleClients,
  slow: measureSlowReaders,
};

const search = (process.env['PATH'] ?? '').split(delimiter).concat('/usr/sbin');
process.env['PATH'] = search.join(delimiter);
const lacking = [
  ...['nginx', 'haproxy', 'wrk', 'taskset'].filter(
    (program) => !search.some((folder) => existsSync(join(folder, program))),
  ),
  ...(availableParallelism() < 2 ? ['second core'] : []),
  ...(only === undefined || Object.hasOwn(scenarios, only) ? [] : [`scenario ${only}`]),
];
if (lacking.length > 0) {
  process.stderr.write(
    `bench:gateway takes two cores of Linux, nginx, haproxy, wrk and a scenario of ${Object.keys(scenarios).join(', ')}; there is no ${lacking.join(', no ')}.\n`,
  );
  process.exit(1);
}
moveTo(loadCore);

const folder = await mkdtemp(join(tmpdir(), 'bench-gateway-'));
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
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

const ratios: Record<string, number> = {};
const medians: Record<string, Figures> = {};
for (const [name, measure] of Object.entries(scenarios)) {
  if (only !== undefined && only !== name) continue;
  const outcome = await measure(bench);
  process.stderr.write(`${name}\n${toTable(outcome.figures)}`);
  Object.assign(ratios, outcome.ratios);
  medians[name] = outcome.figures;
}
await upstream.stop();
await entra.close();

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
  { ratio: 'p99/best-node-peer', atMost: 1.2, promise: '1.2 times the 99th percentile of that peer' },
  { ratio: 'body-10MB-down/nginx', atLeast: 0.8, promise: '0.8 of the downloads of nginx' },
  { ratio: 'body-10MB-up/nginx', atLeast: 0.8, promise: '0.8 of the uploads of nginx' },
  {
    ratio: 'slow-readers-rss/body',
    atMost: 0.05,
    promise: 'a twentieth of the body in memory for a slow reader',
  },
  { ratio: 'slow-readers-rss-end/start', atMost: 1.1, promise: 'memory that slow readers do not make grow' },
];
for (const { ratio, atLeast = -Infinity, atMost = Infinity, promise } of bars) {
  const value = ratios[ratio];
  if (value === undefined || (value >= atLeast && value <= atMost)) continue;
  process.stderr.write(`  missed: ${promise} (${ratio} is ${value})\n`);
  process.exitCode = 1;
}
