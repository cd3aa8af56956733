import { randomUUID } from 'node:crypto';
import { mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { ConfigError } from '@countersign/service-kit';

/** The text of a file, or undefined where there is none. */
export const readIfPresent = async (path: string): Promise<string | undefined> => {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return undefined;
    throw new ConfigError([`the file ${path} cannot be read (${code})`]);
  }
};

/** Makes a folder that only its owner can enter, if it is not there. */
export const makePrivateFolder = async (path: string): Promise<void> => {
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new ConfigError([`the folder ${path} cannot be made (${(error as NodeJS.ErrnoException).code})`]);
  }
};

/**
 * Replaces a file so that a reader, or a crash at any time, finds the old text or the new one, whole.
 *
 * @param mode default 0600: only its owner may read it.
 * @throws {ConfigError} that names a file that cannot be written.
 */
export const writeFileAtomically = async (path: string, text: string, mode = 0o600): Promise<void> => {
  const draft = `${path}.${randomUUID()}.tmp`;
  try {
    const file = await open(draft, 'wx', mode);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(draft, path);
    await syncFolder(dirname(path));
  } catch (error) {
    await rm(draft, { force: true });
    throw new ConfigError([`the file ${path} cannot be written (${(error as NodeJS.ErrnoException).code})`]);
  }
};

const syncFolder = async (path: string): Promise<void> => {
  const folder = await open(path, 'r');
  await folder.sync().finally(() => folder.close());
};
