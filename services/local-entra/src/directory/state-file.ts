import { ConfigError } from '@countersign/service-kit';
import { readIfPresent, writeFileAtomically } from '../certificates/private-file.ts';
import type { Directory } from './directory.ts';
import { snapshotSchema, takeSnapshot, type Snapshot } from './snapshot.ts';

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
const keep = async (path: string, snapshot: Snapshot): Promise<void> => {
  const [issue] = snapshotSchema.safeParse(snapshot).error?.issues ?? [];
  if (issue) throw new Error(`the directory cannot be kept: ${issue.path.join('.')}: ${issue.message}`);
  await writeFileAtomically(path, JSON.stringify(snapshot));
};

/**
 * Returns a function that writes the directory to a file, whole or not at all. Calls during a write share the next
 * one; each resolves once a state at least as new as at its call is on disk.
 */
export const createStateSaver = (path: string, directory: Directory): (() => Promise<void>) => {
  let running: Promise<void> | undefined;
  let waiting: Promise<void> | undefined;

  const write = (): Promise<void> => {
    waiting = undefined;
    running = keep(path, takeSnapshot(directory)).finally(() => {
      running = undefined;
    });
    return running;
  };

  return () => {
    if (!running) return write();
    waiting ??= running.then(write, write);
    return waiting;
  };
};
