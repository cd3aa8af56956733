import { readFileSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { ConfigError } from '@countersign/service-kit';
import { readIfPresent, writeFileAtomically } from '../certificates/private-file.ts';
import type { Directory } from './directory.ts';
import { restoreSnapshot, snapshotSchema, takeSnapshot, type Snapshot } from './snapshot.ts';

/**
 * Reads a state file.
 *
 * @returns undefined where there is none.
 * @throws {ConfigError} that says what is wrong with it, and where.
 */
export const readStateFile = async (path: string): Promise<Snapshot | undefined> => {
  const text = await readIfPresent(path);
  if (text === undefined) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new ConfigError([`the state file ${path} is not JSON: delete it to begin with the seed again`]);
  }
  const result = snapshotSchema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new ConfigError([
    `the state file ${path} cannot be used: ${issue?.path.join('.') || 'the file'}: ${issue?.message}; delete it to begin with the seed again`,
  ]);
};

/** A state that could not be read again is not written: the one before it stays. */
const keep = async (
  path: string,
  snapshot: Snapshot,
  writeFile: typeof writeFileAtomically,
): Promise<void> => {
  const [issue] = snapshotSchema.safeParse(snapshot).error?.issues ?? [];
  if (issue) throw new Error(`the directory cannot be kept: ${issue.path.join('.')}: ${issue.message}`);
  await writeFile(path, JSON.stringify(snapshot));
};

/** At once, so that no change can come between. */
const takeBack = (path: string, directory: Directory): void => {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    // There is no state to go back to.
    return;
  }
  const snapshot = snapshotSchema.parse(JSON.parse(text));
  directory.clear();
  restoreSnapshot(directory, snapshot);
};

/** Removes the drafts of writes that a crash has cut off. */
export const sweepDrafts = async (path: string): Promise<void> => {
  const folder = dirname(path);
  const names = await readdir(folder).catch(() => []);
  const isDraft = (name: string): boolean =>
    name.startsWith(`${basename(path)}.`) && /\.[0-9a-f-]{36}\.tmp$/.test(name);
  for (const name of names) if (isDraft(name)) await rm(join(folder, name), { force: true });
};

/**
 * Returns a function that writes the directory to a file, whole or not at all. Calls during a write share the next
 * one; each resolves once a state at least as new as at its call is on disk. Where a write fails, the directory is as
 * the file says again, so that nothing counts that a restart would forget.
 */
export const createStateSaver = (
  path: string,
  directory: Directory,
  writeFile = writeFileAtomically,
): (() => Promise<void>) => {
  let running: Promise<void> | undefined;
  let waiting: Promise<void> | undefined;

  const write = (): Promise<void> => {
    waiting = undefined;
    running = keep(path, takeSnapshot(directory), writeFile)
      .catch((error: unknown) => {
        takeBack(path, directory);
        throw error;
      })
      .finally(() => {
        running = undefined;
      });
    return running;
  };

  return () => {
    if (!running) return write();
    // Whoever waits has changed what is taken back when this write fails: it fails with it.
    waiting ??= running.then(write, (error: unknown) => {
      waiting = undefined;
      throw error;
    });
    return waiting;
  };
};
