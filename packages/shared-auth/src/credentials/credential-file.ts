import { readFile } from 'node:fs/promises';
import { CredentialError } from './credential-source.ts';

/** @throws {@link CredentialError} for a file that cannot be read or is empty */
export const readCredentialFile = async (credential: string, path: string): Promise<Buffer> => {
  let content: Buffer;
  try {
    content = await readFile(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new CredentialError(credential, `The file ${path} cannot be read (${code}).`);
  }
  if (content.toString('latin1').trim() === '')
    throw new CredentialError(credential, `The file ${path} is empty.`);
  return content;
};
