import { once } from 'node:events';
import { closeSync, existsSync, openSync, readFileSync, truncateSync, watch, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { localApplications, localTenantId, takeToken } from '@countersign/cli';
import { exportJob, spawnJob } from './caller-job.ts';
import { startTestSystem, type TestSystem } from './test-system.ts';

const imported = 20_000;

let system: TestSystem;
let folder: string;

beforeAll(async () => {
  system = await startTestSystem();
  folder = system.dataFolder;
  const line = (serial: number): string =>
    `${JSON.stringify({ name: `Imported ${serial}`, description: '', date: '2026-01-01T00:00:00Z' })}\n`;
  const response = await system.fetch(`${system.recordsApiUrl}/api/records/import`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${await takeToken('api2', system.dataFolder)}`,
      'content-type': 'application/x-ndjson',
    },
    body: Array.from({ length: imported }, (_, serial) => line(serial)).join(''),
  });
  if (response.status !== 200) throw new Error(await response.text());
});

afterAll(async () => {
  await system?.[Symbol.asyncDispose]();
});

/** The job, with its standard output on a file as `>` or `>>` of a shell put it there. */
const startJob = (
  args: readonly string[],
  output: string,
  flags = 'w',
  settings: Record<string, string> = {},
) => {
  const stdout = openSync(output, flags);
  const child = spawnJob(system, args, settings, ['ignore', stdout, 'pipe']);
  closeSync(stdout);
  let log = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    log += chunk.toString();
  });
  const ended = once(child, 'close').then(([code]) => ({ code: code as number | null, log }));
  return { child, ended };
};

const exported = async (...args: Parameters<typeof startJob>) => startJob(...args).ended;
const file = (name: string): string => join(folder, name);

describe('caller-api --once export', () => {
  test('writes every record as a line, its log goes to standard error', async () => {
    const { code, log } = await exported(exportJob, file('all.ndjson'));
    expect({ code, log: JSON.parse(log) }).toMatchObject({
      code: 0,
      log: { msg: 'exported', records: imported + 10 },
    });
    const lines = readFileSync(file('all.ndjson'), 'utf8').trimEnd().split('\n');
    expect(lines).toHaveLength(imported + 10);
    expect(new Set(lines.map((line) => (JSON.parse(line) as { id: number }).id)).size).toBe(imported + 10);
  });

  test('killed in the middle, it goes on behind the last block: the same file, byte for byte', async () => {
    const [output, resume] = [file('killed.ndjson'), file('killed.cursor')];
    const { child, ended } = startJob([...exportJob, '--resume', resume], output, 'a');
    const watcher = watch(folder, () => {
      if (existsSync(resume)) child.kill('SIGKILL');
    });
    expect(await ended).toMatchObject({ code: null });
    watcher.close();
    // What a kill in the middle of a write leaves.
    writeFileSync(output, '{"id":1234', { flag: 'a' });
    const { records } = JSON.parse(readFileSync(resume, 'utf8')) as { records: number };
    expect(records).toBeGreaterThan(0);
    expect(records).toBeLessThan(imported);
    expect(await exported([...exportJob, '--resume', resume], output, 'a')).toMatchObject({ code: 0 });
    expect(readFileSync(output, 'utf8')).toBe(readFileSync(file('all.ndjson'), 'utf8'));
    expect(existsSync(resume)).toBe(false);
  });

  test('does not go on in a file that is not the one', async () => {
    const [output, resume] = [file('other.ndjson'), file('other.cursor')];
    writeFileSync(resume, JSON.stringify({ cursor: 'x', records: 1_000, bytes: 80_000, file: '0:0' }));
    expect(await exported([...exportJob, '--resume', resume], output)).toMatchObject({
      code: 64,
      log: expect.stringContaining('append to the file (>>)'),
    });
    truncateSync(resume);
    expect(await exported([...exportJob, '--resume', resume], output, 'a')).toMatchObject({ code: 64 });
  });

  test.each([
    ['another job', 64, ['--once', 'import'], {}],
    ['a typing mistake', 64, ['--onec', 'export'], {}],
    ['a configuration without a scope', 1, exportJob, { RECORDS_API_SCOPE: '' }],
    ['an application that Entra does not know', 77, exportJob, { AZURE_CLIENT_ID: localTenantId }],
    [
      'an API that refuses the token',
      77,
      exportJob,
      {
        RECORDS_API_SCOPE: `api://${localApplications.api1}/.default`,
        AZURE_CLIENT_ID: localApplications.api3,
      },
    ],
  ] as const)('%s ends with %i', async (_, expected, args, settings) => {
    const stranger = { AZURE_CLIENT_SECRET_FILE: join(system.secretsFolder, 'api3') };
    const { code, log } = await exported([...args], file('none.ndjson'), 'w', {
      ...('AZURE_CLIENT_ID' in settings && stranger),
      ...settings,
    });
    expect({ code, log }).toMatchObject({ code: expected });
    expect(readFileSync(file('none.ndjson'), 'utf8')).toBe('');
  });

  test('stopped, it ends with 75, and can go on', async () => {
    const { child, ended } = startJob(exportJob, file('stopped.ndjson'), 'w', {
      RECORDS_API_URL: 'http://127.0.0.1:1',
    });
    // It waits for its next try by then.
    child.stderr?.once('data', () => child.kill('SIGTERM'));
    expect(await ended).toMatchObject({ code: 75 });
  });
});
