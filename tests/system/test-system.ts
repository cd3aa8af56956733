import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type LogLine,
  type RunningSystem,
  type ServiceProcess,
  startSystem,
  type SystemOptions,
} from '@countersign/cli';
import { Agent, fetch, type RequestInit, type Response } from 'undici';

const freePorts = { gateway: 0, gatewayAdmin: 0, recordsApi: 0, callerApi: 0, localEntra: 0 };

export interface TestSystem extends RunningSystem {
  dataFolder: string;
  /** Every line that any service has logged so far. */
  lines: readonly LogLine[];
  /** `fetch` that trusts local-entra's CA. */
  fetch: (url: string, init?: RequestInit) => Promise<Response>;
  service: (name: string) => ServiceProcess;
  /** Resolves to the completion records of a request, once as many services as named have logged theirs. */
  completionRecords: (requestId: string, services: readonly string[]) => Promise<LogRecord[]>;
  /** Stops what runs, keeps the data, and checks every line that was logged. */
  stop: () => Promise<string[]>;
  /** `stop`, and deletes the data. */
  [Symbol.asyncDispose]: () => Promise<void>;
}

export type LogRecord = Readonly<Record<string, unknown>>;

/** Starts the real services, each in a process of its own, on free ports. */
export const startTestSystem = async (
  options: Omit<SystemOptions, 'dataFolder' | 'ports' | 'onLine'> & { dataFolder?: string } = {},
): Promise<TestSystem> => {
  const dataFolder = options.dataFolder ?? (await mkdtemp(join(tmpdir(), 'countersign-')));
  const lines: LogLine[] = [];
  const waiting = new Set<() => void>();
  const system = await startSystem({
    ...options,
    dataFolder,
    ports: freePorts,
    onLine: (line) => {
      lines.push(line);
      for (const look of waiting) look();
    },
  });
  const dispatcher = new Agent({ connect: { ca: await readFile(system.caFile, 'utf8') } });

  const completionRecords = (requestId: string, services: readonly string[]): Promise<LogRecord[]> =>
    new Promise((resolve) => {
      const look = (): void => {
        const records = lines.flatMap(({ record }) =>
          record?.['request_id'] === requestId && record['duration_ms'] !== undefined ? [record] : [],
        );
        const names = new Set(records.map((record) => record['service.name']));
        if (!services.every((name) => names.has(name))) return;
        waiting.delete(look);
        resolve(records);
      };
      waiting.add(look);
      look();
    });

  const secrets = await readSecrets(system.secretsFolder);
  const stop = async (): Promise<string[]> => {
    const failed = await system.stop();
    if (!dispatcher.closed) await dispatcher.close();
    checkLines(lines, secrets);
    return failed;
  };
  return {
    ...system,
    dataFolder,
    lines,
    completionRecords,
    stop,
    fetch: (url, init) => fetch(url, { dispatcher, ...init }),
    service: (name) => system.services.find((service) => service.name === name) as ServiceProcess,
    [Symbol.asyncDispose]: async () => {
      await stop();
      await rm(dataFolder, { recursive: true });
    },
  };
};

export const readSecrets = async (folder: string): Promise<string[]> => {
  const names = await readdir(folder);
  return Promise.all(names.map((name) => readFile(join(folder, name), 'utf8')));
};

/** What no log may ever hold: a JWT or the start of one, a client secret, an assertion. */
export const checkLines = (lines: readonly LogLine[], secrets: readonly string[]): void => {
  for (const { service, text, record } of lines) {
    if (!record) throw new Error(`${service} logged a line that is no JSON object: ${text}`);
    if (/eyJ[\w-]{10}/.test(text)) throw new Error(`${service} logged a token: ${text}`);
    if (secrets.some((secret) => text.includes(secret)))
      throw new Error(`${service} logged a secret: ${text}`);
    if (/client_secret=|client_assertion=/.test(text))
      throw new Error(`${service} logged a credential: ${text}`);
  }
};
