import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { expect, test } from '@jest/globals';
import { createBlockOutput } from '../src/block-output.ts';

const source = new URL('../src/block-output.ts', import.meta.url).href;

/** Runs a few lines that have `output`, which writes to standard output. */
const run = (lines: string) =>
  spawn(
    process.execPath,
    [
      '--input-type=module',
      '-e',
      `import { createBlockOutput } from '${source}'; const output = createBlockOutput(1); ${lines}`,
    ],
    {
      stdio: ['pipe', 'pipe', 'inherit'],
    },
  );

test('records wait for their block, and leave with the process', async () => {
  const child = run(`output.write('one\\n'); output.write('two\\n'); process.exit(0);`);
  expect(await text(child.stdout)).toBe('one\ntwo\n');
});

test('a block that is full is written at once, and a fatal record without waiting', () => {
  const folder = mkdtempSync(join(tmpdir(), 'countersign-'));
  const file = join(folder, 'log');
  const fd = openSync(file, 'w');
  const output = createBlockOutput(fd);
  output.write('a'.repeat(8_000));
  expect(readFileSync(file, 'utf8')).toHaveLength(0);
  output.write('é'.repeat(200));
  expect(readFileSync(file, 'utf8')).toHaveLength(8_200);
  output.write('fatal');
  output.flushSync();
  expect(readFileSync(file, 'utf8')).toHaveLength(8_205);
  closeSync(fd);
  rmSync(folder, { recursive: true });
});

test('a reader that is gone costs the records, and never the end of the process', async () => {
  const child = run(
    `process.stdin.once('end', () => { for (let n = 0; n < 100; n += 1) output.write('x'.repeat(1_000)); process.exit(7); }).resume();`,
  );
  child.stdout.destroy();
  child.stdin.end();
  expect(await once(child, 'exit')).toEqual([7, null]);
});
