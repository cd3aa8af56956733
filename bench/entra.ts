import { execFile, execFileSync, fork, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { Agent, request } from 'node:https';
import type { IncomingMessage } from 'node:http';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

/*
 * local-entra's token endpoint against its limit, which is one RS256 signature for each token. Server and bare signing
 * take turns on one core, and the client has another. The same with 10,000 applications, with the memory that it takes;
 * and the time from nothing to ready.
 */

const rounds = Number(process.env['ROUNDS'] ?? 15);
const roundMs = 1000;
const connections = 16;
const manyApplications = 10_000;
const tenant = '10ca10ca-0000-4000-8000-10ca10ca10ca';
const clientId = 'a9100002-0000-4000-8000-000000000002';
const canPin = process.platform === 'linux' && availableParallelism() > 1;

const here = (file: string): string => fileURLToPath(new URL(file, import.meta.url));
const conditions = ['--conditions=source'];

/** Gives a process a core of its own, so that "one core" is one core. */
const pin = (pid: number | undefined, core: number): void => {
  if (canPin && pid !== undefined) execFileSync('taskset', ['-a', '-c', '-p', String(core), String(pid)]);
};

interface Served {
  child: ChildProcess;
  tokensPerSecond: () => Promise<number>;
  residentMegabytes: () => Promise<number>;
}

const serve = async (folder: string, seed: object | undefined, secret?: string): Promise<Served> => {
  const seedFile = join(folder, 'seed.json');
  if (seed) await writeFile(seedFile, JSON.stringify(seed));
  const { PATH = '' } = process.env;
  const env = {
    PATH,
    PORT: '0',
    DATA_FOLDER: join(folder, 'data'),
    LOG_LEVEL: 'info',
    SEED_FILE: seed ? seedFile : '',
  };
  // As in an image: compiled. Stripping types takes 27 MB of memory.
  const program = here('../services/local-entra/dist/main.js');
  const child = spawn(process.execPath, [program], {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const port = await new Promise<number>((resolve) => {
    createInterface(child.stdout).on('line', (line) => {
      const record = JSON.parse(line) as Record<string, unknown>;
      if (record['msg'] === 'listening') resolve(Number(record['server.port']));
    });
  });
  pin(child.pid, 0);
  const ca = await readFile(join(folder, 'data', 'ca.pem'), 'utf8');
  const body = new URLSearchParams({
    grant_type: 'client_credentials',
    client_id: clientId,
    client_secret: secret ?? (await readFile(join(folder, 'data', 'secrets', 'api2'), 'utf8')),
    scope: 'a9100001-0000-4000-8000-000000000001/.default',
  }).toString();
  const agent = new Agent({ keepAlive: true, maxSockets: connections, ca });
  const url = `https://localhost:${port}/${tenant}/oauth2/v2.0/token`;
  const headers = {
    'content-type': 'application/x-www-form-urlencoded',
    'content-length': String(Buffer.byteLength(body)),
  };

  const ask = async (): Promise<void> => {
    const outgoing = request(url, { method: 'POST', agent, headers });
    outgoing.end(body);
    const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
    if (response.statusCode !== 200) throw new Error(`The token endpoint answered ${response.statusCode}.`);
    response.resume();
    await once(response, 'end');
  };
  return {
    child,
    tokensPerSecond: async () => {
      const startMs = performance.now();
      let count = 0;
      const client = async (): Promise<void> => {
        while (performance.now() - startMs < roundMs) {
          await ask();
          count += 1;
        }
      };
      await Promise.all(Array.from({ length: connections }, client));
      return (count / (performance.now() - startMs)) * 1000;
    },
    residentMegabytes: async () => {
      const status = await readFile(`/proc/${child.pid}/status`, 'utf8').catch(() => '');
      return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) / 1024;
    },
  };
};

/** An API with a role, a client that holds it, and as many more that do, too. */
const manySeed = (secret: string): object => {
  const grantedRoles = [{ resource: 'api1', role: 'read' }];
  const crowd = Array.from({ length: manyApplications - 2 }, (_, index) => ({
    name: `application-${index}`,
    identifierUris: [`api://application-${index}`],
    appRoles: [{ value: 'use' }],
    secrets: [{ value: `secret of application ${index}` }],
    grantedRoles,
  }));
  const api = {
    name: 'api1',
    appId: 'a9100001-0000-4000-8000-000000000001',
    requestedAccessTokenVersion: 2,
    appRoles: [{ value: 'read' }],
  };
  const client = { name: 'api2', appId: clientId, secrets: [{ value: secret }], grantedRoles };
  return { tenants: [{ id: tenant, displayName: 'Many', applications: [api, client, ...crowd] }] };
};

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
const rounded = (value: number): number => Number(value.toPrecision(3));

const startMilliseconds = async (): Promise<number> => {
  const { stdout } = await promisify(execFile)(process.execPath, [...conditions, here('entra-start.ts')]);
  return Number(stdout);
};

const folder = await mkdtemp(join(tmpdir(), 'bench-entra-'));
const starts: number[] = [];
for (let sample = 0; sample < 9; sample++) starts.push(await startMilliseconds());

const few = await serve(await mkdtemp(join(folder, 'few-')), undefined);
const secret = 'the secret of the benchmark';
const many = await serve(await mkdtemp(join(folder, 'many-')), manySeed(secret), secret);
const signer = fork(here('entra-sign.ts'), { execArgv: conditions });
await once(signer, 'message');
pin(signer.pid, 0);
pin(process.pid, 1);
const signaturesPerSecond = async (): Promise<number> => {
  signer.send(roundMs);
  const [perSecond] = (await once(signer, 'message')) as [number];
  return perSecond;
};

const samples = { signatures: [] as number[], few: [] as number[], many: [] as number[] };
const warmUp = 2;
for (let round = 0; round < rounds + warmUp; round++) {
  const measured = {
    signatures: await signaturesPerSecond(),
    few: await few.tokensPerSecond(),
    many: await many.tokensPerSecond(),
  };
  if (round < warmUp) continue;
  samples.signatures.push(measured.signatures);
  samples.few.push(measured.few);
  samples.many.push(measured.many);
}
const [fewMegabytes, manyMegabytes] = [await few.residentMegabytes(), await many.residentMegabytes()];

signer.disconnect();
for (const { child } of [few, many]) {
  child.kill('SIGTERM');
  await once(child, 'exit');
}
await rm(folder, { recursive: true });

const medians = {
  signaturesPerSecond: rounded(median(samples.signatures)),
  tokensPerSecond: rounded(median(samples.few)),
  tokensPerSecond10000Applications: rounded(median(samples.many)),
  residentMegabytes: rounded(fewMegabytes),
  residentMegabytes10000Applications: rounded(manyMegabytes),
  startMilliseconds: rounded(median(starts)),
};
process.stderr.write(
  Object.entries(medians)
    .map(([name, value]) => `  ${name.padEnd(40)}${value}\n`)
    .join(''),
);
const ratios = {
  'sign/crypto.sign': rounded(
    median(samples.few.map((value, index) => value / (samples.signatures[index] ?? 0))),
  ),
  'tokens-10000/tokens-few': rounded(
    median(samples.many.map((value, index) => value / (samples.few[index] ?? 0))),
  ),
};
process.stdout.write(
  `${JSON.stringify({ bench: 'entra', node: process.version, rounds, ratios, medians })}\n`,
);

/** What local-entra promises. */
const missed = [
  ratios['sign/crypto.sign'] < 0.5 && 'at least 0.5 tokens for each bare signature',
  ratios['tokens-10000/tokens-few'] < 0.9 && '10,000 applications as fast as a few, within a tenth',
  medians.residentMegabytes10000Applications >= 120 && 'less than 120 MB with 10,000 applications under load',
  medians.startMilliseconds >= 500 && 'ready in less than 500 ms',
].filter((target) => target !== false);
for (const target of missed) process.stderr.write(`  missed: ${target}\n`);
if (missed.length > 0) process.exitCode = 1;
