import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { startLocalEntra } from '@countersign/local-entra';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'local-entra-main-'));
});
afterAll(() => rm(folder, { recursive: true }));

/** Runs the service where it cannot start; gives its last record and its exit code. */
const runToItsEnd = async (env: Record<string, string>) => {
  const { PATH = '' } = process.env;
  const child = spawn(
    process.execPath,
    ['--conditions=source', fileURLToPath(new URL('../src/main.ts', import.meta.url))],
    { env: { PATH, DATA_FOLDER: folder, PORT: '0', ...env }, stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const [output, [code]] = await Promise.all([child.stdout.toArray(), once(child, 'exit')]);
  const lines = Buffer.concat(output as Buffer[])
    .toString('utf8')
    .trim()
    .split('\n');
  return { code: code as number, record: JSON.parse(lines.at(-1) ?? '{}') as Record<string, unknown> };
};

describe('a service that cannot start says in one sentence what is wrong, and exits with 1:', () => {
  test('its port is taken', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;
    const { code, record } = await runToItsEnd({ PORT: String(port) });
    other.close();
    expect(code).toBe(1);
    expect(record).toMatchObject({
      level: 'fatal',
      msg: expect.stringContaining(`PORT ${port} on 127.0.0.1 is taken`),
    });
  });

  test.each<[string, Record<string, string>, RegExp]>([
    ['no folder', { DATA_FOLDER: '' }, /DATA_FOLDER is missing/],
    [
      'a state file that cannot be written',
      { STATE_FILE: '/proc/state.json' },
      /the file \/proc\/state\.json cannot be written/,
    ],
    [
      'a seed that is not there',
      { SEED_FILE: '/nothing.yaml' },
      /SEED_FILE names the file \/nothing\.yaml, which cannot be read/,
    ],
    [
      'an origin of Microsoft',
      { ORIGIN: 'https://login.microsoftonline.com' },
      /ORIGIN must not be a host of Microsoft/,
    ],
  ])('%s', async (_, env, message) => {
    const { code, record } = await runToItsEnd(env);
    expect(code).toBe(1);
    expect(record).toMatchObject({ level: 'fatal', msg: expect.stringMatching(message) });
  });
});

test('it is ready in half a second, in process', async () => {
  const times: number[] = [];
  for (let start = 0; start < 3; start++) {
    const startMs = performance.now();
    const entra = await startLocalEntra();
    times.push(performance.now() - startMs);
    await entra.close();
  }
  expect(Math.min(...times)).toBeLessThan(500);
});
