import { readCredentialFile } from './credential-file.ts';
import type { CredentialSource } from './credential-source.ts';

export const clientSecretSource = (secret: string): CredentialSource => {
  if (secret === '') throw new TypeError('clientSecret must not be empty');
  return { name: 'clientSecret', read: async () => ({ kind: 'secret', secret }) };
};

/** A file with the secret and nothing else; white space around it does not count. */
export const clientSecretFileSource = (path: string): CredentialSource => ({
  name: 'clientSecretFile',
  async read() {
    const content = await readCredentialFile('clientSecretFile', path);
    return { kind: 'secret', secret: content.toString('utf8').trim() };
  },
});
