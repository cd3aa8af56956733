import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { GenericContainer, type StartedTestContainer } from 'testcontainers';
import { exportJob, spawnJob } from '../system/caller-job.ts';
import { startTestSystem } from '../system/test-system.ts';

jest.setTimeout(120_000);

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
    const child = spawnJob(system, exportJob, settings, 'ignore');
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
