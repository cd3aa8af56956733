/**
 * What authentication costs on the whole way: client → gateway → caller-api → records-api → SQLite, with every check and
 * token, next to the same way without any. Both go through the same three processes and are asked in turn: processes of one
 * program differ by some percent for as long as they live.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { localApplications, localTenantId, recordsApiScope } from '@countersign/cli';
import { startLocalEntra } from '@countersign/local-entra';
import { Agent, request } from 'undici';
import { start } from './system/processes.ts';

const sets = Number(process.env['SETS'] ?? 5);
const rounds = Number(process.env['ROUNDS'] ?? 30);
const warmUpRounds = 10;
const requestsPerRound = 100;
const bar = 1.05;
const role = 'access_as_application_API2';

const folder = mkdtempSync(join(tmpdir(), 'bench-system-'));
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));

const file = (name: string, text: string): string => {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
};

/** Both ways, alike but for the check. */
const routes = `routes:
  - { path: /auth, rewrite: /caller, upstream: auth, page: true, access: { api: caller-api, policy: { appRole: ${role} } } }
  - { path: /no-auth, rewrite: /caller, upstream: no-auth, page: true, access: public }
`;

/** A database of its own, brought up to date. */
const database = (name: string): Record<string, string> => {
  const settings = { DATA_FOLDER: join(folder, name) };
  const migrate = fileURLToPath(new URL('../services/records-api/src/migrate.ts', import.meta.url));
  const { status } = spawnSync(process.execPath, ['--conditions=source', migrate], { env: settings });
  if (status !== 0) throw new Error(`the database could not be prepared (${status})`);
  return settings;
};

const entra = await startLocalEntra();
const identity = {
  AZURE_AUTHORITY_HOST: entra.origin,
  AZURE_TENANT_ID: localTenantId,
  CA_FILE: file('ca.pem', entra.ca),
};

const ways = ['auth', 'no-auth'] as const;
type Way = (typeof ways)[number];

interface StartedSet {
  gateway: string;
  stop: () => Promise<void>;
}

const startSet = async (serial: number): Promise<StartedSet> => {
  const records = await start('bench/system/records.ts', 2, {
    ...identity,
    ...database(`set-${serial}`),
    API_CLIENT_ID: localApplications.api1,
  });
  const [checkedRecords = '', openRecords = ''] = records.urls;
  const callers = await start('bench/system/callers.ts', 2, {
    ...identity,
    AZURE_CLIENT_ID: localApplications.api2,
    AZURE_CLIENT_SECRET_FILE: file('secret', entra.secrets['api2'] ?? ''),
    ACCESS_APP_ROLE: role,
    CHECKED_RECORDS_URL: checkedRecords,
    OPEN_RECORDS_URL: openRecords,
    RECORDS_API_SCOPE: recordsApiScope,
  });
  const [checkedCaller = '', openCaller = ''] = callers.urls;
  const gateway = await start('gateway/src/main.ts', 1, {
    ...identity,
    APIS: `caller-api=${localApplications.api2}`,
    ROUTES_FILE: file('routes.yaml', routes),
    UPSTREAMS: `auth=${checkedCaller},no-auth=${openCaller}`,
  });
  const stop = async (): Promise<void> => {
    for (const service of [gateway, callers, records]) await service.stop();
  };
  return { gateway: gateway.urls[0] ?? '', stop };
};

const token = await entra.forge({
  client: localApplications.api4,
  resource: localApplications.api2,
  roles: [role],
  version: 2,
  lifetimeSeconds: 3_600,
});

const headers: Record<Way, Record<string, string>> = {
  auth: { authorization: `Bearer ${token}` },
  'no-auth': {},
};
const dispatcher = new Agent({ connections: 1 });
const ask = async (way: Way, { gateway }: StartedSet): Promise<void> => {
  const { statusCode, body } = await request(`${gateway}/${way}/records`, {
    headers: headers[way],
    dispatcher,
  });
  const text = await body.text();
  if (statusCode !== 200) throw new Error(`${way} answered ${statusCode}: ${text}`);
};

const median = (values: readonly number[]): number => {
  const sorted = values.toSorted((left, right) => left - right);
  return sorted[Math.floor(sorted.length / 2)] as number;
};

type Figures = Record<Way, number>;

/** Microseconds of a request of a round, the two ways by turns, so that whatever else the machine does hits both. */
const measureRound = async (set: StartedSet): Promise<Figures> => {
  const samples: Record<Way, number[]> = { auth: [], 'no-auth': [] };
  for (let serial = 0; serial < requestsPerRound; serial += 1) {
    for (const way of serial % 2 === 0 ? ways : ways.toReversed()) {
      const startNs = process.hrtime.bigint();
      await ask(way, set);
      samples[way].push(Number(process.hrtime.bigint() - startNs) / 1_000);
    }
  }
  return { auth: median(samples.auth), 'no-auth': median(samples['no-auth']) };
};

const ratioOf = (figures: readonly Figures[]): number =>
  median(figures.map((round) => round.auth / round['no-auth']));

const measured: Figures[][] = [];
for (let serial = 0; serial < sets; serial += 1) {
  const set = await startSet(serial);
  for (let round = 0; round < warmUpRounds; round += 1) await measureRound(set);
  const figures: Figures[] = [];
  for (let round = 0; round < rounds; round += 1) figures.push(await measureRound(set));
  measured.push(figures);
  await set.stop();
}

await dispatcher.close();
await entra.close();

const ratios = measured.map(ratioOf);
const medians = {
  auth: median(measured.flat().map(({ auth }) => auth)),
  'no-auth': median(measured.flat().map((round) => round['no-auth'])),
};
const overhead = Number(median(ratios).toPrecision(4));
process.stderr.write(
  `  with authentication    ${medians.auth.toFixed(0).padStart(8)} µs\n  without                ${medians['no-auth'].toFixed(0).padStart(8)} µs\n  ratio                  ${overhead}, by sets ${ratios.map((ratio) => ratio.toFixed(3)).join(' ')}\n`,
);
process.stdout.write(
  `${JSON.stringify({ bench: 'system', node: process.version, sets, rounds, ratios: { 'auth/no-auth': overhead }, bySet: ratios, medians })}\n`,
);
if (overhead > bar) {
  process.stderr.write(`MISSED: authentication costs more than ${Math.round((bar - 1) * 100)} %\n`);
  process.exitCode = 1;
}
