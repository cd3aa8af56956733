import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { expect, test } from '@jest/globals';
import { ExportUsageError, openTarget } from '../src/export/target.ts';

const folder = mkdtempSync(join(tmpdir(), 'countersign-'));
const source = new URL('../src/export/target.ts', import.meta.url).href;

test('a file that takes a part of a write only is an error', () => {
  const script = `import { openTarget } from '${source}';
    const target = openTarget({ output: process.stdout, progressFile: undefined, onBlock: () => undefined });
    await target.keep(['x'.repeat(150_000)], 'cursor').catch(({ name }) => console.error(name));`;
  const file = join(folder, 'full');
  const stdout = openSync(file, 'w');
  const { stderr } = spawnSync(
    'bash',
    [
      '-c',
      'ulimit -f 100; exec "$0" --conditions=source --input-type=module -e "$1"',
      process.execPath,
      script,
    ],
    { stdio: ['ignore', stdout, 'pipe'], encoding: 'utf8' },
  );
  closeSync(stdout);
  expect(statSync(file).size).toBe(102_400);
  expect(stderr).toContain('ExportOutputError');
});

test('a file that is not the one the export began in is left as it is', async () => {
  const progressFile = join(folder, 'cursor');
  const open = (name: string): ReturnType<typeof openTarget> => {
    const output = Object.assign(new PassThrough(), { fd: openSync(join(folder, name), 'a') });
    return openTarget({ output, progressFile, onBlock: () => undefined });
  };
  await open('one').keep(['{"id":1}'], 'after-1');
  writeFileSync(join(folder, 'other'), 'something else altogether');
  expect(() => open('other')).toThrow(ExportUsageError);
  expect(readFileSync(join(folder, 'other'), 'utf8')).toBe('something else altogether');
  expect(open('one')).toMatchObject({ cursor: 'after-1', records: 1 });
  expect(readFileSync(join(folder, 'one'), 'utf8')).toBe('{"id":1}\n');
});
