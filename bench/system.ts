/**
 * What authentication costs on the whole way: client → gateway → caller-api → records-api → SQLite, with every check and
 * token, next to the same way without any. Both run at once, and are asked in turn.
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

const rounds = Number(process.env['ROUNDS'] ?? 60);
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

/** Every service's own database, brought up to date. */
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
const started: Started[] = [];
const up = async (path: string, env: Record<string, string>): Promise<string> => {
  const service = await start(path, env);
  started.push(service);
  return service.url;
};

const startPath = async (
  isChecked: boolean,
  callerSettings: Record<string, string>,
  gatewaySettings: Record<string, string>,
): Promise<string> => {
  const name = isChecked ? 'checked' : 'unchecked';
  const records = isChecked ? 'services/records-api/src/main.ts' : 'bench/system/unchecked-records.ts';
  const caller = isChecked ? 'services/caller-api/src/main.ts' : 'bench/system/unchecked-caller.ts';
  const recordsUrl = await up(records, {
    ...identity,
    ...database(name),
    API_CLIENT_ID: localApplications.api1,
  });
  const addressed = { RECORDS_API_URL: recordsUrl, RECORDS_API_SCOPE: recordsApiScope };
  const callerUrl = await up(caller, { ...callerSettings, ...addressed });
  return up('gateway/src/main.ts', { ...gatewaySettings, UPSTREAMS: `caller-api=${callerUrl}` });
};

const checkedUrl = await startPath(
  true,
  {
    ...identity,
    ACCESS_MODE: 'app-role',
    ACCESS_APP_ROLE: role,
    AZURE_CLIENT_ID: localApplications.api2,
    AZURE_CLIENT_SECRET_FILE: file('secret', entra.secrets['api2'] ?? ''),
  },
  {
    ...identity,
    APIS: `caller-api=${localApplications.api2}`,
    ROUTES_FILE: file('checked.yaml', routes(`{ api: caller-api, policy: { appRole: ${role} } }`)),
  },
);
const uncheckedUrl = await startPath(false, {}, { ROUTES_FILE: file('unchecked.yaml', routes('public')) });

const token = await entra.forge({
  client: localApplications.api4,
  resource: localApplications.api2,
  roles: [role],
  version: 2,
  lifetimeSeconds: 3_600,
});

const dispatcher = new Agent({ connections: 1 });
const ask = async (url: string, headers: Record<string, string>): Promise<void> => {
  const { statusCode, body } = await request(`${url}/caller/records`, { headers, dispatcher });
  const text = await body.text();
  if (statusCode !== 200) throw new Error(`${url} answered ${statusCode}: ${text}`);
};
const ways = {
  auth: () => ask(checkedUrl, { authorization: `Bearer ${token}` }),
  'no-auth': () => ask(uncheckedUrl, {}),
};
type Way = keyof typeof ways;

const median = (values: readonly number[]): number => {
  const sorted = values.toSorted((left, right) => left - right);
  return sorted[Math.floor(sorted.length / 2)] as number;
};

/** Microseconds of each request of a round, the two ways by turns, so that whatever else the machine does hits both. */
const measureRound = async (): Promise<Record<Way, number>> => {
  const samples: Record<Way, number[]> = { auth: [], 'no-auth': [] };
  const names = Object.keys(ways) as Way[];
  for (let serial = 0; serial < requestsPerRound; serial += 1) {
    for (const name of serial % 2 === 0 ? names : names.toReversed()) {
      const startNs = process.hrtime.bigint();
      await ways[name]();
      samples[name].push(Number(process.hrtime.bigint() - startNs) / 1_000);
    }
  }
  return { auth: median(samples.auth), 'no-auth': median(samples['no-auth']) };
};

for (let round = 0; round < warmUpRounds; round += 1) await measureRound();
const measured: Record<Way, number>[] = [];
for (let round = 0; round < rounds; round += 1) measured.push(await measureRound());

await dispatcher.close();
for (const service of started.toReversed()) await service.stop();
await entra.close();

const medians = {
  auth: median(measured.map(({ auth }) => auth)),
  'no-auth': median(measured.map((round) => round['no-auth'])),
};
const overhead = Number(median(measured.map((round) => round.auth / round['no-auth'])).toPrecision(4));
process.stderr.write(
  `  with authentication    ${medians.auth.toFixed(0).padStart(8)} µs\n  without                ${medians['no-auth'].toFixed(0).padStart(8)} µs\n  ratio                  ${overhead}\n`,
);
process.stdout.write(
  `${JSON.stringify({ bench: 'system', node: process.version, rounds, ratios: { 'auth/no-auth': overhead }, medians })}\n`,
);
if (overhead > bar) {
  process.stderr.write(`MISSED: authentication costs more than ${Math.round((bar - 1) * 100)} %\n`);
  process.exitCode = 1;
}
