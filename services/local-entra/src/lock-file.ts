import { randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { link, rm, writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { ConfigError } from '@countersign/service-kit';
import { readIfPresent } from './certificates/private-file.ts';

/** Gives a lock back. */
export type Unlock = () => Promise<void>;

/** Locks of this very process: in a container every process has the same number after a restart. */
const held = new Set<string>();

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it lives, and is somebody else's.
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
};

/** The process that has the lock; undefined where it is left over from one that has ended. */
const holderOf = async (path: string): Promise<number | undefined> => {
  const pid = Number(await readIfPresent(path));
  if (!Number.isInteger(pid) || pid <= 0) return undefined;
  if (pid === process.pid) return held.has(path) ? pid : undefined;
  return isAlive(pid) ? pid : undefined;
};

const create = async (path: string, what: string): Promise<boolean> => {
  const draft = `${path}.${randomUUID()}.new`;
  try {
    // Linked, not opened, so that nobody ever finds a lock that names no process yet.
    await writeFile(draft, `${process.pid}\n`, { flag: 'wx', mode: 0o600 });
    await link(draft, path);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return false;
    throw new ConfigError([`${what} cannot be written (${code})`]);
  } finally {
    await rm(draft, { force: true });
  }
};

process.once('exit', () => {
  for (const path of held) rmSync(path, { force: true });
});

/** What two processes must not write at once. */
export interface Lockable {
  /** Path of the lock file. */
  path: string;
  /** How messages name what it stands for. */
  what: string;
}

const lockFile = async (lockPath: string, what: string): Promise<Unlock> => {
  const path = resolve(lockPath);
  for (let attempt = 0; !(await create(path, what)); attempt += 1) {
    const pid = await holderOf(path);
    if (pid !== undefined || attempt > 2) {
      const holder = pid === undefined ? 'another process' : `the process ${pid}`;
      throw new ConfigError([`${what} is in use by ${holder}: stop it first (the lock is ${path})`]);
    }
    await rm(path, { force: true });
  }
  held.add(path);
  return async () => {
    held.delete(path);
    await rm(path, { force: true });
  };
};

/**
 * Takes locks that are given back together.
 *
 * @throws {ConfigError} where another process has one of them; then none is taken.
 */
export const lockFiles = async (wanted: readonly Lockable[]): Promise<Unlock> => {
  const unlocks: Unlock[] = [];
  const unlockAll: Unlock = async () => {
    await Promise.all(unlocks.splice(0).map((unlock) => unlock()));
  };
  try {
    for (const { path, what } of wanted) unlocks.push(await lockFile(path, what));
  } catch (error) {
    await unlockAll();
    throw error;
  }
  return unlockAll;
};
