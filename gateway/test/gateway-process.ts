import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(new URL('../src/main.ts', import.meta.url));

export interface GatewayProcess extends AsyncDisposable {
  child: ChildProcessWithoutNullStreams;
  /** What was logged, parsed. */
  records: Record<string, unknown>[];
  /** The first record with this message, or a later one, once it is there. */
  logged(message: string, count?: number): Promise<Record<string, unknown>>;
  /** Resolves once it listens. */
  url(): Promise<string>;
  exitCode: Promise<number | null>;
}

/** Runs the gateway as it is run: `src/main.ts` in a process of its own, on a free port, with a table in a file. */
export const runGateway = (table: object | string, env: Record<string, string> = {}): GatewayProcess => {
  const folder = mkdtempSync(join(tmpdir(), 'countersign-'));
  const file = join(folder, 'routes.yaml');
  writeFileSync(file, typeof table === 'string' ? table : JSON.stringify(table));
  const child = spawn(process.execPath, ['--conditions=source', main], {
    env: { PATH: process.env['PATH'], PORT: '0', ROUTES_FILE: file, ...env },
    stdio: ['pipe', 'pipe', 'pipe', 'ipc'],
  }) as ChildProcessWithoutNullStreams;
  const port = once(child, 'message').then(([message]) => (message as { listening: number }).listening);
  const records: Record<string, unknown>[] = [];
  const lines = createInterface({ input: child.stdout });
  lines.on('line', (line) => records.push(JSON.parse(line) as Record<string, unknown>));
  child.stderr.pipe(process.stderr);
  const exitCode = once(child, 'close').then(([code]) => code as number | null);
  const died = exitCode.then((code) => {
    throw new Error(`the gateway ended with ${code}`);
  });
  died.catch(() => undefined);
  const logged = async (message: string, count = 1): Promise<Record<string, unknown>> => {
    for (;;) {
      const record = records.filter(({ msg }) => msg === message)[count - 1];
      if (record) return record;
      await Promise.race([once(lines, 'line'), died]);
    }
  };
  return {
    child,
    records,
    logged,
    url: async () => `http://127.0.0.1:${await Promise.race([port, died])}`,
    exitCode,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await exitCode;
      rmSync(folder, { recursive: true });
    },
  };
};
