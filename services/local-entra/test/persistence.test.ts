import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { startLocalEntra } from '@countersign/local-entra';
import { getJson } from './https-client.ts';

let dataFolder: string;
beforeEach(async () => {
  dataFolder = await mkdtemp(join(tmpdir(), 'local-entra-'));
});
afterEach(() => rm(dataFolder, { recursive: true }));

const start = async (): Promise<{ ca: string; secrets: unknown; keys: unknown }> => {
  const entra = await startLocalEntra({ dataFolder });
  const { body } = await getJson(entra, '/countersign.localhost/discovery/v2.0/keys');
  await entra.close();
  const kids = (body['keys'] as { kid: string }[]).map(({ kid }) => kid);
  return { ca: entra.ca, secrets: entra.secrets, keys: kids };
};

test('a second start has the same authority, secrets and keys', async () => {
  const first = await start();
  expect(await start()).toEqual(first);
});

test('secrets and keys are for their owner only', async () => {
  await start();
  expect(await readFile(join(dataFolder, 'secrets', 'api2'), 'utf8')).toMatch(/^\S{40}$/);
  for (const name of ['secrets/api2', 'ca.key', 'tls.key', 'signing-keys.json']) {
    expect((await stat(join(dataFolder, name))).mode & 0o077).toBe(0);
  }
});
