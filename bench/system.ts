/**
 * What authentication costs on the whole way: client → gateway → caller-api → records-api → SQLite, with every check and
 * token, next to the same way without any. Both run at once, and are asked in turn. Processes of one program differ by
 * some percent for as long as they live, so that it takes several sets of them.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { localApplications, localTenantId, recordsApiScope } from '@countersign/cli';
import { startLocalEntra } from '@countersign/local-entra';
import { Agent, request } from 'undici';
import { start, type Started } from './system/processes.ts';

const sets = Number(process.env['SETS'] ?? 9);
const rounds = Number(process.env['ROUNDS'] ?? 12);
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

const routes = (access: string): string =>
  `routes:\n  - { path: /caller, upstream: caller-api, page: true, access: ${access} }\n`;

/** A way's own database, brought up to date. */
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

/** How the two ways differ. */
const programs = {
  auth: {
    records: 'services/records-api/src/main.ts',
    caller: 'services/caller-api/src/main.ts',
    callerSettings: {
      ...identity,
      ACCESS_MODE: 'app-role',
      ACCESS_APP_ROLE: role,
      AZURE_CLIENT_ID: localApplications.api2,
      AZURE_CLIENT_SECRET_FILE: file('secret', entra.secrets['api2'] ?? ''),
    },
    gatewaySettings: {
      ...identity,
      APIS: `caller-api=${localApplications.api2}`,
      ROUTES_FILE: file('auth.yaml', routes(`{ api: caller-api, policy: { appRole: ${role} } }`)),
    },
  },
  'no-auth': {
    records: 'bench/system/unchecked-records.ts',
    caller: 'bench/system/unchecked-caller.ts',
    callerSettings: {},
    gatewaySettings: { ROUTES_FILE: file('no-auth.yaml', routes('public')) },
  },
} as const;
type Way = keyof typeof programs;
const ways = Object.keys(programs) as Way[];

interface StartedWay {
  url: string;
  stop: () => Promise<void>;
}

const startWay = async (way: Way, set: number): Promise<StartedWay> => {
  const { records, caller, callerSettings, gatewaySettings } = programs[way];
  const started: Started[] = [];
  const up = async (path: string, env: Record<string, string>): Promise<string> => {
    const service = await start(path, env);
    started.push(service);
    return service.url;
  };
  const recordsUrl = await up(records, {
    ...identity,
    ...database(`${way}-${set}`),
    API_CLIENT_ID: localApplications.api1,
  });
  const addressed = { RECORDS_API_URL: recordsUrl, RECORDS_API_SCOPE: recordsApiScope };
  const callerUrl = await up(caller, { ...callerSettings, ...addressed });
  const url = await up('gateway/src/main.ts', { ...gatewaySettings, UPSTREAMS: `caller-api=${callerUrl}` });
  const stop = async (): Promise<void> => {
    for (const service of started.toReversed()) await service.stop();
  };
  return { url, stop };
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
const ask = async (way: Way, { url }: StartedWay): Promise<void> => {
  const { statusCode, body } = await request(`${url}/caller/records`, { headers: headers[way], dispatcher });
  const text = await body.text();
  if (statusCode !== 200) throw new Error(`${way} answered ${statusCode}: ${text}`);
};

const median = (values: readonly number[]): number => {
  const sorted = values.toSorted((left, right) => left - right);
  return sorted[Math.floor(sorted.length / 2)] as number;
};

type Figures = Record<Way, number>;

/** Microseconds of a request of a round, the two ways by turns, so that whatever else the machine does hits both. */
const measureRound = async (started: Record<Way, StartedWay>): Promise<Figures> => {
  const samples: Record<Way, number[]> = { auth: [], 'no-auth': [] };
  for (let serial = 0; serial < requestsPerRound; serial += 1) {
    for (const way of serial % 2 === 0 ? ways : ways.toReversed()) {
      const startNs = process.hrtime.bigint();
      await ask(way, started[way]);
      samples[way].push(Number(process.hrtime.bigint() - startNs) / 1_000);
    }
  }
  return { auth: median(samples.auth), 'no-auth': median(samples['no-auth']) };
};

const ratioOf = (figures: readonly Figures[]): number =>
  median(figures.map((round) => round.auth / round['no-auth']));

const measured: Figures[][] = [];
for (let set = 0; set < sets; set += 1) {
  const started = {} as Record<Way, StartedWay>;
  for (const way of set % 2 === 0 ? ways : ways.toReversed()) started[way] = await startWay(way, set);
  for (let round = 0; round < warmUpRounds; round += 1) await measureRound(started);
  const figures: Figures[] = [];
  for (let round = 0; round < rounds; round += 1) figures.push(await measureRound(started));
  measured.push(figures);
  for (const way of ways) await started[way].stop();
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
