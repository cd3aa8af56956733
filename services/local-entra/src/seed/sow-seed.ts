import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Directory } from '../directory/directory.ts';
import { plantSeed, secretsWanted, type SecretWanted } from './plant-seed.ts';
import { readSeed } from './read-seed.ts';
import type { Seed } from './seed-schema.ts';

/** Texts longer than this leave garbage worth collecting. */
const bigSeedLength = 256 * 1024;

export interface SowSeedInput {
  seed: Seed | string;
  /** How messages name it. */
  seedName?: string | undefined;
  nowMs: number;
  /** Where its tenants and applications go; without one the seed is only checked. */
  directory: Directory | undefined;
}

/** Collects garbage now: otherwise the heap grows to several times a big seed first, and never shrinks again. */
const collectGarbage = (): void => {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
};

/**
 * Reads a seed, and puts it into a directory.
 *
 * @returns the applications whose secrets are to be made.
 * @throws {ConfigError} for a seed that cannot be used.
 */
export const sowSeed = async (input: SowSeedInput): Promise<SecretWanted[]> => {
  const wanted = await sow(input);
  if (isBig(input)) collectGarbage();
  return wanted;
};

const isBig = ({ seed }: SowSeedInput): boolean => typeof seed === 'string' && seed.length > bigSeedLength;

const sow = async (input: SowSeedInput): Promise<SecretWanted[]> => {
  const parsed = await readSeed(input.seed, input.seedName);
  if (isBig(input)) collectGarbage();
  if (input.directory) plantSeed(input.directory, parsed, input.nowMs);
  return secretsWanted(parsed);
};
