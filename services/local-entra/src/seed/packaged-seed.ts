import { readFile } from 'node:fs/promises';

/** The seed that comes with local-entra: the same path from `src` and from `dist`. */
export const packagedSeed = (): Promise<string> =>
  readFile(new URL('../../seed.yaml', import.meta.url), 'utf8');
