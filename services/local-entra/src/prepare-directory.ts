import { join } from 'node:path';
import type { Clock } from './clock.ts';
import { createDirectory, type Directory } from './directory/directory.ts';
import { restoreSnapshot } from './directory/snapshot.ts';
import { createStateSaver, readStateFile } from './directory/state-file.ts';
import { graphApplication } from './graph/graph-registration.ts';
import { loadSecrets } from './secrets.ts';
import { packagedSeed } from './seed/packaged-seed.ts';
import { plantGeneratedSecrets, plantSeed } from './seed/plant-seed.ts';
import { readSeed } from './seed/read-seed.ts';
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
  const seed = await readSeed(options.seed ?? (await packagedSeed()), options.seedName);
  const withSecret = seed.tenants.flatMap(({ applications }) =>
    applications.filter(({ generatedSecret }) => generatedSecret).map(({ name }) => name),
  );
  const secrets = await loadSecrets(
    withSecret,
    options.secretsFolder ?? (dataFolder && join(dataFolder, 'secrets')),
  );
  const planting = { clock, secretFor: (name: string) => secrets[name] ?? '' };

  const directory = createDirectory();
  directory.addForeignApplication(graphApplication());
  const snapshot = stateFile === undefined ? undefined : await readStateFile(stateFile);
  if (snapshot) {
    restoreSnapshot(directory, snapshot);
    plantGeneratedSecrets(directory, seed, planting);
  } else {
    plantSeed(directory, seed, planting);
  }
  const save = stateFile === undefined ? () => Promise.resolve() : createStateSaver(stateFile, directory);
  // A file that cannot be written is found now, not at the first change.
  await save();
  return { directory, secrets, save };
};
