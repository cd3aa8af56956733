import { readCredentialFile } from './credential-file.ts';
import type { CredentialSource } from './credential-source.ts';

/**
 * A token of another issuer in a file that the platform renews: AKS workload identity (`AZURE_FEDERATED_TOKEN_FILE`).
 * Read for every request, since the file's token may live for an hour and be replaced at any time.
 */
export const federatedTokenFileSource = (path: string): CredentialSource => ({
  name: 'federatedTokenFile',
  async read() {
    const content = await readCredentialFile('federatedTokenFile', path);
    const assertion = content.toString('utf8').trim();
    return { kind: 'assertion', assertion: async () => assertion };
  },
});
