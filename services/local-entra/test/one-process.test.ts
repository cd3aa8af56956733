import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { startLocalEntra, type LocalEntra } from '@countersign/local-entra';

let folder: string;
const open: LocalEntra[] = [];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'local-entra-'));
});
afterEach(async () => {
  for (const entra of open.splice(0)) await entra.close();
  await rm(folder, { recursive: true });
});

const start = async (options: Parameters<typeof startLocalEntra>[0] = {}): Promise<LocalEntra> => {
  const entra = await startLocalEntra({ dataFolder: join(folder, 'data'), ...options });
  open.push(entra);
  return entra;
};

test('a data folder is for one at a time', async () => {
  await start();
  await expect(start()).rejects.toThrow(new RegExp(`in use .*process ${process.pid}`));
});

test('so is a state file, whatever the data folder', async () => {
  const stateFile = join(folder, 'state.json');
  await start({ stateFile });
  await expect(start({ dataFolder: join(folder, 'other'), stateFile })).rejects.toThrow(
    /state\.json.* in use/,
  );
  // The one that was refused has let go of its own folder.
  await start({ dataFolder: join(folder, 'other') });
});

test('once closed, the next one can have both', async () => {
  const stateFile = join(folder, 'state.json');
  const first = await start({ stateFile });
  open.splice(0);
  await first.close();
  expect(await readdir(folder)).not.toContain('state.json.lock');
  await start({ stateFile });
});

test('a start that fails lets go', async () => {
  await expect(start({ seed: 'tenants: []' })).rejects.toThrow(/tenants/);
  await start();
});

test('what a process that has died left behind is nothing', async () => {
  const child = spawn(process.execPath, ['--eval', '']);
  await once(child, 'exit');
  const stateFile = join(folder, 'state.json');
  await writeFile(`${stateFile}.lock`, `${child.pid}\n`);
  await start({ stateFile });
  expect(await readFile(`${stateFile}.lock`, 'utf8')).toBe(`${process.pid}\n`);
});

test('nor is a lock without a process in it', async () => {
  const stateFile = join(folder, 'state.json');
  await writeFile(`${stateFile}.lock`, '');
  await start({ stateFile });
  expect(await readFile(`${stateFile}.lock`, 'utf8')).toBe(`${process.pid}\n`);
});
