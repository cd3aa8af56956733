import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { localApplications, localTenantId, recordsApiScope } from '@countersign/cli';
import { GenericContainer, type StartedTestContainer } from 'testcontainers';
import { startTestSystem } from '../system/test-system.ts';

jest.setTimeout(120_000);

const main = fileURLToPath(new URL('../../services/caller-api/src/main.ts', import.meta.url));

let valkey: StartedTestContainer;
let folder: string;
let settings: Record<string, string>;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'token-cache-'));
  valkey = await new GenericContainer('valkey/valkey:8-trixie')
    .withCommand(['valkey-server', '--requirepass', 'password', '--save', ''])
    .withExposedPorts(6379)
    .start();
  await writeFile(join(folder, 'key'), `k1:${randomBytes(32).toString('base64')}\n`);
  await writeFile(join(folder, 'password'), 'password\n');
  settings = {
    TOKEN_CACHE_URL: `redis://${valkey.getHost()}:${valkey.getMappedPort(6379)}`,
    TOKEN_CACHE_KEY_FILE: join(folder, 'key'),
    TOKEN_CACHE_PASSWORD_FILE: join(folder, 'password'),
  };
});

afterAll(async () => {
  await valkey?.stop();
  await rm(folder, { recursive: true });
});

test('processes of caller-api share their token; without the store each takes its own', async () => {
  await using system = await startTestSystem({ settings: { 'caller-api': settings } });
  const tokenRequests = (): number =>
    system.lines.filter(
      ({ service, record }) =>
        service === 'local-entra' &&
        String(record?.['url.path']).endsWith('/oauth2/v2.0/token') &&
        record?.['duration_ms'] !== undefined,
    ).length;
  const getRecords = async (): Promise<void> => {
    const response = await system.fetch(`${system.gatewayUrl}/caller/records`);
    expect({ status: response.status, text: await response.text() }).toMatchObject({
      status: 200,
      text: expect.stringContaining('Record 10'),
    });
  };
  const runJob = async (): Promise<number | null> => {
    const child = spawn(process.execPath, ['--conditions=source', main, '--once', 'export'], {
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
      stdio: 'ignore',
    });
    const [code] = (await once(child, 'close')) as [number | null];
    return code;
  };

  await getRecords();
  expect(tokenRequests()).toBe(1);
  expect(await runJob()).toBe(0);
  expect(tokenRequests()).toBe(1);

  await valkey.stop();
  expect(await runJob()).toBe(0);
  expect(tokenRequests()).toBe(2);
  await getRecords();
});
