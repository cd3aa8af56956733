import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runStep, type ServiceProcess, startService } from '@countersign/cli';
import { apiClientId, mint, startTestIssuer, tenantId } from '../../packages/shared-auth/test/test-issuer.ts';

export interface RecordsProcess {
  /** The same address after each start. */
  url: string;
  /** A token with both roles. */
  token: string;
  /** Kills it as `kill -9` does, and starts it again. Resolves when it listens. */
  killAndRestart: () => Promise<void>;
  /** Fields of what was logged as an error. */
  errors: Record<string, unknown>[];
  process(): ServiceProcess;
  [Symbol.asyncDispose]: () => Promise<void>;
}

const source = (file: string): string =>
  fileURLToPath(new URL(`../../services/records-api/src/${file}`, import.meta.url));

/** The migrations of records-api, as a process. @param database its settings */
export const migrateStep = (database: Readonly<Record<string, string>>): Promise<void> =>
  runStep({ name: 'records-api', main: source('migrate.ts'), env: database });

/** records-api as a process, after its migrations, with tokens of a made-up issuer. @param database its settings */
export const startRecordsProcess = async (
  database: Readonly<Record<string, string>> = {},
): Promise<RecordsProcess> => {
  const folder = await mkdtemp(join(tmpdir(), 'countersign-'));
  const issuer = await startTestIssuer();
  const caFile = join(folder, 'ca.pem');
  await writeFile(caFile, issuer.ca);
  const settings = database['DATABASE_URL'] ? database : { DATA_FOLDER: join(folder, 'data'), ...database };
  const errors: Record<string, unknown>[] = [];
  const start = (port: number): Promise<ServiceProcess> =>
    startService({
      name: 'records-api',
      main: source('main.ts'),
      env: {
        ...settings,
        PORT: String(port),
        AZURE_AUTHORITY_HOST: issuer.origin,
        AZURE_TENANT_ID: tenantId,
        API_CLIENT_ID: apiClientId,
        CA_FILE: caFile,
      },
      onLine: ({ record }) => {
        if (record?.['level'] === 'error' || record?.['level'] === 'fatal') errors.push(record);
      },
    });
  const clear = async (): Promise<void> => {
    await issuer.close();
    await rm(folder, { recursive: true });
  };
  let running: ServiceProcess;
  try {
    await migrateStep(settings);
    running = await start(0);
  } catch (error) {
    await clear();
    throw error;
  }
  const { port } = running;
  const roles = ['access_as_application_API1', 'write_as_application_API1'];
  return {
    url: `http://127.0.0.1:${port}`,
    token: mint(issuer, Date.now(), { roles }),
    errors,
    process: () => running,
    async killAndRestart() {
      running.child.kill('SIGKILL');
      await running.exited;
      running = await start(port);
    },
    [Symbol.asyncDispose]: async () => {
      await running.stop();
      await clear();
    },
  };
};
