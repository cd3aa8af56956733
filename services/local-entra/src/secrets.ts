import { join } from 'node:path';
import { makePrivateFolder, readIfPresent, writeFileAtomically } from './certificates/private-file.ts';
import { generateSecret } from './directory/client-secret.ts';

/**
 * The generated secret of each of these applications: one file each, without a newline at its end, made where it is
 * missing. Without a folder they live in memory.
 */
export const loadSecrets = async (
  names: readonly string[],
  folder: string | undefined,
): Promise<Record<string, string>> => {
  if (folder !== undefined) await makePrivateFolder(folder);
  const secrets: Record<string, string> = {};
  for (const name of names) {
    const path = folder === undefined ? undefined : join(folder, name);
    const known = path === undefined ? undefined : (await readIfPresent(path))?.trim();
    const secret = known || generateSecret();
    if (path !== undefined && !known) await writeFileAtomically(path, secret);
    secrets[name] = secret;
  }
  return secrets;
};
