import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** The service in a process of its own, with every port open. */
export interface RunningEntra {
  origin: string;
  ca: string;
  secret: (name: string) => Promise<string>;
  adminAddress: string;
  identityAddress: string;
  /** Megabytes of memory that the process holds now. */
  residentMegabytes: () => Promise<number>;
  /** Exit code or signal, once it has ended. */
  ended: () => number | string | null;
  /** Records of level error and worse. */
  errors: string[];
  stop: () => Promise<void>;
}

const residentMegabytes = async ({ pid }: ChildProcess): Promise<number> => {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) / 1024;
};

/** Starts the service on free ports. @param env further settings. */
export const runEntra = async (env: Record<string, string> = {}): Promise<RunningEntra> => {
  const folder = await mkdtemp(join(tmpdir(), 'local-entra-run-'));
  const { PATH = '' } = process.env;
  const child = spawn(
    process.execPath,
    ['--conditions=source', fileURLToPath(new URL('../src/main.ts', import.meta.url))],
    {
      env: {
        PATH,
        DATA_FOLDER: folder,
        PORT: '0',
        ADMIN_PORT: '0',
        MANAGED_IDENTITY_PORT: '0',
        MANAGED_IDENTITY_HEADER: 'header',
        ...env,
      },
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  const addresses: Record<string, string> = {};
  const errors: string[] = [];
  const port = await new Promise<number>((resolve, reject) => {
    createInterface(child.stdout).on('line', (line) => {
      const record = JSON.parse(line) as Record<string, unknown>;
      if (typeof record['address'] === 'string') addresses[String(record['port_name'])] = record['address'];
      if (record['msg'] === 'listening') resolve(Number(record['server.port']));
      if (record['level'] === 'fatal') reject(new Error(String(record['msg'])));
      if (record['level'] === 'error') errors.push(line);
    });
  });
  return {
    origin: `https://localhost:${port}`,
    ca: await readFile(join(folder, 'ca.pem'), 'utf8'),
    secret: (name) => readFile(join(folder, 'secrets', name), 'utf8'),
    adminAddress: addresses['admin'] ?? '',
    identityAddress: addresses['managed identity'] ?? '',
    residentMegabytes: () => residentMegabytes(child),
    ended: () => child.exitCode ?? child.signalCode,
    errors,
    stop: async () => {
      const exited = once(child, 'exit');
      child.kill('SIGTERM');
      await exited;
      await rm(folder, { recursive: true });
    },
  };
};
