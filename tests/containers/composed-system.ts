import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect } from '@jest/globals';
import { type LocalApplication, type LogLine } from '@countersign/cli';
import { DockerComposeEnvironment } from 'testcontainers';
import { Agent, fetch, type RequestInit, type Response } from 'undici';
import { takeTokenFrom } from './entra-container.ts';
import { freePort } from './free-port.ts';

const run = promisify(execFile);
export const repository = fileURLToPath(new URL('../..', import.meta.url));

/** The services that are ours, and so log JSON. */
export const services = ['local-entra', 'records-api', 'caller-api', 'gateway', 'records-migrate'] as const;

/** Runs `docker`. Resolves to its standard output, rejects with all of its output. */
export const docker = async (...parameters: string[]): Promise<string> => {
  try {
    return (await run('docker', parameters, { maxBuffer: 256 * 1024 * 1024 })).stdout.trim();
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
    throw new Error(`docker ${parameters.join(' ')}\n${stdout}\n${stderr}`, { cause: error });
  }
};

/** Runs `docker compose` on files of this repository. Resolves to its standard output. */
export type Compose = (...parameters: string[]) => Promise<string>;

export const composeIn = (project: string, files: readonly string[], envFile: string): Compose => {
  const options = ['--project-name', project, '--env-file', envFile];
  const where = ['compose', ...options, ...files.flatMap((file) => ['--file', join(repository, file)])];
  return (...parameters) => docker(...where, ...parameters);
};

export interface ComposedSystem {
  project: string;
  gatewayUrl: string;
  /** `fetch` with connections of its own, trusting local-entra's CA. */
  fetch: (url: string, init?: RequestInit) => Promise<Response>;
  /** On this system. */
  compose: Compose;
  /** Names of the running containers of a service. */
  containers: (service: string) => Promise<string[]>;
  token: (application: LocalApplication) => Promise<string>;
  /** Asks the admin port of local-entra. */
  weather: (method: string, path: string, body?: unknown) => Promise<unknown>;
  /** Every secret that local-entra has made, and the database's password. */
  secrets: () => Promise<string[]>;
  /** What services have logged, by default ours. */
  lines: (of?: readonly string[]) => Promise<LogLine[]>;
  /** Moves the clocks of services that load `shifted-clock.ts` ahead of this machine's. */
  shiftClocks: (byMs: number) => Promise<void>;
  /**
   * Runs the body of a test. When it fails, what the containers logged meanwhile is in `artifacts/containers/`, and the
   * error shows the last lines and a waterfall of the request that failed.
   */
  explained: (body: () => Promise<void>) => Promise<void>;
  [Symbol.asyncDispose]: () => Promise<void>;
}

/** As Compose reads it from a file. */
export const textOfEnvironment = (variables: Readonly<Record<string, string>>): string =>
  Object.entries(variables)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('');

/** No limit that a load could meet. */
const routesWithoutLimits = async (): Promise<string> =>
  (await readFile(join(repository, 'gateway/routes.yaml'), 'utf8')).replaceAll(
    'requests: 6000,',
    'requests: 6000000,',
  );

/** Starts docker-compose.yml under a name of its own, on free ports. @param files to merge into it */
export const startComposedSystem = async (files: readonly string[] = []): Promise<ComposedSystem> => {
  const project = `countersign-test-${randomUUID().slice(0, 8)}`;
  const folder = await mkdtemp(join(tmpdir(), 'countersign-'));
  await writeFile(join(folder, 'routes.yaml'), await routesWithoutLimits(), { mode: 0o644 });
  const shiftClocks = async (byMs: number): Promise<void> => {
    const written = join(folder, 'shift-ms.new');
    await writeFile(written, String(byMs), { mode: 0o644 });
    // Whoever reads meanwhile sees the one or the other.
    await rename(written, join(folder, 'shift-ms'));
  };
  await shiftClocks(0);
  await chmod(folder, 0o755);
  const [gatewayPort, entraPort, adminPort] = [await freePort(), await freePort(), await freePort()];
  const variables = {
    GATEWAY_PORT: String(gatewayPort),
    ENTRA_PORT: String(entraPort),
    ENTRA_ADMIN_PORT: String(adminPort),
    SYSTEM_FOLDER: folder,
  };
  // In this order: Compose does not take away what a file between the two has touched as well.
  const composeFiles = ['docker-compose.yml', ...files, 'tests/containers/compose.yaml'];
  const environment = await new DockerComposeEnvironment(repository, composeFiles)
    .withProjectName(project)
    .withEnvironment(variables)
    .withStartupTimeout(240_000)
    .up();

  const envFile = join(folder, '.env');
  await writeFile(envFile, textOfEnvironment(variables));
  const compose = composeIn(project, composeFiles, envFile);
  const containers: ComposedSystem['containers'] = async (service) => {
    const names = await compose('ps', '--format', '{{.Name}}', service);
    return names
      .split('\n')
      .filter((name) => name !== '')
      .toSorted();
  };
  const inEntra = (...command: string[]): Promise<string> =>
    docker('exec', `${project}-local-entra-1`, ...command);

  // No connection is kept: what it leads to is stopped and started again.
  const dispatcher = new Agent({ pipelining: 0, connect: { ca: await inEntra('cat', '/public/ca.pem') } });
  const ask: ComposedSystem['fetch'] = (url, init) => fetch(url, { dispatcher, ...init });

  const textsOf = async (service: string, since?: string): Promise<string[]> => {
    const names = await compose('ps', '--all', '--format', '{{.Name}}', service);
    const texts: string[] = [];
    for (const name of names.split('\n').filter((each) => each !== '')) {
      const parameters = ['logs', ...(since ? ['--since', since] : []), name];
      const { stdout, stderr } = await run('docker', parameters, { maxBuffer: 256 * 1024 * 1024 });
      texts.push(...stdout.split('\n'), ...stderr.split('\n'));
    }
    return texts.filter((text) => text !== '');
  };
  const lines = async (of: readonly string[] = services, since?: string): Promise<LogLine[]> => {
    const all: LogLine[] = [];
    for (const service of of) {
      for (const text of await textsOf(service, since)) all.push(parseLine(service, text));
    }
    return all;
  };

  const explained: ComposedSystem['explained'] = async (body) => {
    const since = new Date().toISOString();
    try {
      await body();
    } catch (error) {
      const evidence = await keepEvidence(
        expect.getState().currentTestName ?? 'test',
        await lines(services, since),
      ).catch(String);
      throw new Error(`${error instanceof Error ? error.message : String(error)}\n\n${evidence}`, {
        cause: error,
      });
    }
  };

  return {
    project,
    gatewayUrl: `http://localhost:${gatewayPort}`,
    fetch: ask,
    compose,
    containers,
    token: async (application) =>
      takeTokenFrom(
        `https://localhost:${entraPort}`,
        application,
        await inEntra('cat', `/secrets/${application}`),
        ask,
      ),
    async weather(method, path, body) {
      const response = await ask(`http://localhost:${adminPort}${path}`, {
        method,
        ...(body !== undefined && {
          body: JSON.stringify(body),
          headers: { 'content-type': 'application/json' },
        }),
      });
      if (!response.ok) throw new Error(`${method} ${path} of the admin port: ${response.status}`);
      return response.status === 204 ? undefined : response.json();
    },
    async secrets() {
      const made = await inEntra('sh', '-c', 'cd /secrets && for f in *; do cat "$f"; echo; done');
      const password = await docker('exec', `${project}-postgres-1`, 'cat', '/secrets/password');
      return [...made.split('\n'), password];
    },
    lines: (of) => lines(of),
    shiftClocks,
    explained,
    async [Symbol.asyncDispose]() {
      await dispatcher.destroy();
      await environment.down({ removeVolumes: true, timeout: 1_000 });
      await rm(folder, { recursive: true });
    },
  };
};

const parseLine = (service: string, text: string): LogLine => {
  try {
    return { service, text, record: JSON.parse(text) as Record<string, unknown> };
  } catch {
    return { service, text };
  }
};

const shownLines = 40;

const keepEvidence = async (name: string, lines: readonly LogLine[]): Promise<string> => {
  const folder = join(repository, 'artifacts/containers');
  await mkdir(folder, { recursive: true });
  const file = join(folder, `${name.replaceAll(/[^\w]+/g, '-')}.ndjson`);
  await writeFile(file, lines.map(({ text }) => `${text}\n`).join(''));
  const failed = lines.findLast(({ record }) => Number(record?.['http.response.status_code']) >= 500)?.record;
  const waterfall = failed ? await draw(file, String(failed['trace_id'])) : '';
  const last = lines.slice(-shownLines).map(({ service, text }) => `${service} ${text.slice(0, 400)}`);
  return [`logs: ${file}`, waterfall, ...last].join('\n');
};

const draw = async (file: string, trace: string): Promise<string> => {
  const main = join(repository, 'packages/cli/src/main.ts');
  return (await run(process.execPath, ['--conditions=source', main, 'logs', file, '--trace', trace])).stdout;
};
