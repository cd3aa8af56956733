import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { localApplications, localTenantId, recordsApiScope } from './local-system.ts';
import {
  type LogLine,
  type ServiceProcess,
  type ServiceProcessOptions,
  runStep,
  ServiceStartError,
  startService,
} from './service-process.ts';

/** Ports on loopback; 0 lets the system choose. */
export interface SystemPorts {
  gateway: number;
  gatewayAdmin: number;
  recordsApi: number;
  callerApi: number;
  localEntra: number;
}

export const defaultPorts: SystemPorts = {
  gateway: 8080,
  gatewayAdmin: 9080,
  recordsApi: 8081,
  callerApi: 8082,
  localEntra: 8443,
};

export interface SystemOptions {
  /** Where records, keys and secrets are kept for the next start. */
  dataFolder: string;
  ports?: SystemPorts;
  /** The environment of whoever starts: what is set there for every program is passed on. Default: nothing. */
  env?: Readonly<Record<string, string | undefined>>;
  /** Called with every line that any service logs. */
  onLine?: ((line: LogLine) => void) | undefined;
  /** Called when a service listens. */
  onStarted?: (service: ServiceProcess) => void;
  /** Settings on top of, or in place of, those that the system needs; by service. */
  settings?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** Gives up starting; what has started is stopped again. */
  signal?: AbortSignal;
}

/** Where a running system is and how to speak to it; also written to `system.json` in its data folder. */
export interface SystemAddresses {
  gatewayUrl: string;
  recordsApiUrl: string;
  callerApiUrl: string;
  entraOrigin: string;
  /** PEM file of local-entra's CA. */
  caFile: string;
  /** Holds a file with the client secret of each seeded application, by its name. */
  secretsFolder: string;
}

export interface RunningSystem extends SystemAddresses {
  services: readonly ServiceProcess[];
  /** Stops every service, the last started first. Resolves to the names of those that did not end well. */
  stop(): Promise<string[]>;
}

const repository = fileURLToPath(new URL('../../..', import.meta.url));

/** Exports spans where the environment asks for it. */
const tracing = new URL('../../service-kit/src/tracing.ts', import.meta.url).href;

/** Where the addresses of the system that runs on a data folder stand. */
export const addressesFile = (dataFolder: string): string => join(dataFolder, 'system.json');

/**
 * Starts local-entra, records-api, caller-api and the gateway on loopback, each in a process of its own.
 *
 * @throws {ServiceStartError} when one does not come up; those that did are stopped again.
 */
export const startSystem = async (options: SystemOptions): Promise<RunningSystem> => {
  const dataFolder = resolve(options.dataFolder);
  const ports = options.ports ?? defaultPorts;
  const inherited = inheritedEnvironment(options.env ?? {});
  const services: ServiceProcess[] = [];
  await makeFolder(dataFolder);
  await assertUnused(dataFolder);

  let announced = false;

  const start = async (
    name: string,
    workspace: string,
    env: Record<string, string>,
  ): Promise<ServiceProcess> => {
    const service = await startService({
      name,
      main: join(repository, workspace, 'src', 'main.ts'),
      preload: tracing,
      env: { ...inherited, ...env, ...options.settings?.[name] },
      onLine: options.onLine,
      signal: options.signal,
    } satisfies ServiceProcessOptions);
    services.push(service);
    options.onStarted?.(service);
    return service;
  };
  const stop = async (): Promise<string[]> => {
    const failed: string[] = [];
    for (const service of services.toReversed()) if (!(await service.stop())) failed.push(service.name);
    if (announced) await rm(addressesFile(dataFolder), { force: true });
    return failed;
  };

  try {
    // While local-entra starts: the one does not need the other.
    const recordsFolder = join(dataFolder, 'records-api');
    const prepared = runStep({
      name: 'records-api',
      main: join(repository, 'services/records-api/src/migrate.ts'),
      env: { ...inherited, DATA_FOLDER: recordsFolder },
      onLine: options.onLine,
      signal: options.signal,
    }).then(
      () => undefined,
      (error: unknown) => error,
    );
    const entraFolder = join(dataFolder, 'local-entra');
    const entra = await start('local-entra', 'services/local-entra', {
      DATA_FOLDER: entraFolder,
      PORT: String(ports.localEntra),
    });
    const entraOrigin = `https://localhost:${entra.port}`;
    const caFile = join(entraFolder, 'ca.pem');
    const secretsFolder = join(entraFolder, 'secrets');
    const identity = { AZURE_AUTHORITY_HOST: entraOrigin, AZURE_TENANT_ID: localTenantId, CA_FILE: caFile };

    const unprepared = await prepared;
    if (unprepared) throw unprepared;
    const recordsApi = await start('records-api', 'services/records-api', {
      ...identity,
      PORT: String(ports.recordsApi),
      DATA_FOLDER: recordsFolder,
      API_CLIENT_ID: localApplications.api1,
    });
    const recordsApiUrl = `http://127.0.0.1:${recordsApi.port}`;

    const callerApi = await start('caller-api', 'services/caller-api', {
      ...identity,
      PORT: String(ports.callerApi),
      ACCESS_MODE: 'anonymous',
      ANONYMOUS_WRITES: 'allow',
      AZURE_CLIENT_ID: localApplications.api2,
      AZURE_CLIENT_SECRET_FILE: join(secretsFolder, 'api2'),
      RECORDS_API_URL: recordsApiUrl,
      RECORDS_API_SCOPE: recordsApiScope,
    });
    const callerApiUrl = `http://127.0.0.1:${callerApi.port}`;

    const gateway = await start('gateway', 'gateway', {
      ...identity,
      APIS: `records-api=${localApplications.api1}`,
      ADMIN_PORT: String(ports.gatewayAdmin),
      PORT: String(ports.gateway),
      UPSTREAMS: `records-api=${recordsApiUrl},caller-api=${callerApiUrl}`,
    });
    const gatewayUrl = `http://localhost:${gateway.port}`;
    const addresses = { gatewayUrl, recordsApiUrl, callerApiUrl, entraOrigin, caFile, secretsFolder };
    const launcher = { pid: process.pid };
    await writeFile(
      addressesFile(dataFolder),
      `${JSON.stringify({ ...addresses, launcher }, undefined, 2)}\n`,
    );
    announced = true;
    return { ...addresses, services, stop };
  } catch (error) {
    await stop();
    throw error;
  }
};

const makeFolder = async (folder: string): Promise<void> => {
  try {
    await mkdir(folder, { recursive: true });
  } catch (error) {
    throw new ServiceStartError(
      `The data folder ${folder} cannot be made (${(error as NodeJS.ErrnoException).code}).`,
    );
  }
};

/** Two systems on one folder would share keys and records without knowing. */
const assertUnused = async (dataFolder: string): Promise<void> => {
  const text = await readFile(addressesFile(dataFolder), 'utf8').catch(() => undefined);
  const pid =
    text === undefined ? undefined : (JSON.parse(text) as { launcher?: { pid: number } }).launcher?.pid;
  if (pid === undefined || pid === process.pid || !isRunning(pid)) return;
  throw new ServiceStartError(`A system runs on the data folder ${dataFolder} already (process ${pid}).`);
};

const isRunning = (pid: number): boolean => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

/** What the machine's owner set for every program; the services' own settings are given to them one by one. */
const inheritedEnvironment = (env: Readonly<Record<string, string | undefined>>): Record<string, string> => {
  const names = ['PATH', 'HOME', 'LANG', 'TZ', 'NODE_EXTRA_CA_CERTS', 'NODE_USE_SYSTEM_CA', 'LOG_LEVEL'];
  const ofTracing = Object.keys(env).filter((name) => name.startsWith('OTEL_'));
  return Object.fromEntries(
    [...names, ...ofTracing].flatMap((name) => (env[name] ? [[name, env[name]]] : [])),
  );
};
