import { type ChildProcess, spawn, type StdioOptions } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { localApplications, localTenantId, type RunningSystem, recordsApiScope } from '@countersign/cli';

const main = fileURLToPath(new URL('../../services/caller-api/src/main.ts', import.meta.url));

export const exportJob = ['--once', 'export'] as const;

/** Runs a job of caller-api on a running system. @param settings on top of, or in place of, those that it needs */
export const spawnJob = (
  system: RunningSystem,
  args: readonly string[],
  settings: Readonly<Record<string, string>>,
  stdio: StdioOptions,
): ChildProcess =>
  spawn(process.execPath, ['--conditions=source', main, ...args], {
    env: {
      ACCESS_MODE: 'anonymous',
      AZURE_AUTHORITY_HOST: system.entraOrigin,
      AZURE_TENANT_ID: localTenantId,
      AZURE_CLIENT_ID: localApplications.api2,
      AZURE_CLIENT_SECRET_FILE: join(system.secretsFolder, 'api2'),
      CA_FILE: system.caFile,
      RECORDS_API_URL: system.recordsApiUrl,
      RECORDS_API_SCOPE: recordsApiScope,
      ...settings,
    },
    stdio,
  });
