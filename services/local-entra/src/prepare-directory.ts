import { join } from 'node:path';
import type { Clock } from './clock.ts';
import { createDirectory, type Directory } from './directory/directory.ts';
import { restoreSnapshot } from './directory/snapshot.ts';
import { createStateSaver, readStateFile, sweepDrafts } from './directory/state-file.ts';
import { graphApplication } from './graph/graph-registration.ts';
import { loadSecrets } from './secrets.ts';
import { packagedSeed } from './seed/packaged-seed.ts';
import { plantGeneratedSecrets } from './seed/plant-seed.ts';
import { sowSeed } from './seed/sow-seed.ts';
import type { Seed } from './seed/seed-schema.ts';

export interface PrepareDirectoryOptions {
  seed?: Seed | string | undefined;
  seedName?: string | undefined;
  dataFolder?: string | undefined;
  secretsFolder?: string | undefined;
  stateFile?: string | undefined;
  clock: Clock;
}

export interface PreparedDirectory {
  directory: Directory;
  /** Generated secrets by name in the seed. */
  secrets: Readonly<Record<string, string>>;
  /** Resolves once the directory, as it is now, is kept; at once where it lives in memory. */
  save: () => Promise<void>;
}

/**
 * The directory from its state file, or where there is none from the seed.
 *
 * @throws {ConfigError} for a seed, a state file or a folder that cannot be used.
 */
export const prepareDirectory = async (options: PrepareDirectoryOptions): Promise<PreparedDirectory> => {
  const { clock, dataFolder, stateFile } = options;
  const directory = createDirectory();
  directory.addForeignApplication(graphApplication());
  if (stateFile !== undefined) await sweepDrafts(stateFile);
  const snapshot = stateFile === undefined ? undefined : await readStateFile(stateFile);
  if (snapshot) restoreSnapshot(directory, snapshot);
  const wanted = await sowSeed({
    seed: options.seed ?? (await packagedSeed()),
    seedName: options.seedName,
    nowMs: clock(),
    // Where there is a state file, the seed is only asked for the names of its secrets.
    directory: snapshot ? undefined : directory,
  });
  const folder = options.secretsFolder ?? (dataFolder && join(dataFolder, 'secrets'));
  const names = wanted.map(({ name }) => name);
  const secrets = await loadSecrets(names, folder);
  plantGeneratedSecrets(directory, wanted, secrets, clock());
  const save = stateFile === undefined ? () => Promise.resolve() : createStateSaver(stateFile, directory);
  // A file that cannot be written is found now, not at the first change.
  await save();
  return { directory, secrets, save };
};
