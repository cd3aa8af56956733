import { clouds } from '../clouds.ts';
import type { ClientCredential } from './client-credential.ts';

/** What a {@link createTokenSource} needs to know of an application. */
export interface AzureApplication {
  readonly authorityHost: string;
  readonly tenantId: string;
  readonly clientId: string;
  readonly credential: readonly ClientCredential[];
}

/**
 * The application that the standard variables of Azure's SDKs and of AKS workload identity describe: `AZURE_TENANT_ID`,
 * `AZURE_CLIENT_ID`, `AZURE_AUTHORITY_HOST` (default the public cloud), and for the credentials, in this order,
 * `AZURE_CLIENT_SECRET`, `AZURE_CLIENT_CERTIFICATE_PATH` with `AZURE_CLIENT_CERTIFICATE_PASSWORD`, and
 * `AZURE_FEDERATED_TOKEN_FILE`.
 *
 * @param variables - such as `process.env`, which this library does not read
 * @throws TypeError naming what is missing
 */
export const azureApplication = (
  variables: Readonly<Record<string, string | undefined>>,
): AzureApplication => {
  const value = (name: string): string | undefined => variables[name]?.trim() || undefined;
  const tenantId = value('AZURE_TENANT_ID');
  const clientId = value('AZURE_CLIENT_ID');
  if (tenantId === undefined || clientId === undefined) {
    const missing = ['AZURE_TENANT_ID', 'AZURE_CLIENT_ID'].filter((name) => value(name) === undefined);
    throw new TypeError(`not set: ${missing.join(', ')}`);
  }
  const clientSecret = value('AZURE_CLIENT_SECRET');
  const certificateFile = value('AZURE_CLIENT_CERTIFICATE_PATH');
  const certificatePassword = value('AZURE_CLIENT_CERTIFICATE_PASSWORD');
  const federatedTokenFile = value('AZURE_FEDERATED_TOKEN_FILE');
  const credential: ClientCredential[] = [];
  if (clientSecret !== undefined) credential.push({ clientSecret });
  if (certificateFile !== undefined) {
    credential.push({ certificateFile, ...(certificatePassword !== undefined && { certificatePassword }) });
  }
  if (federatedTokenFile !== undefined) credential.push({ federatedTokenFile });
  if (credential.length === 0) {
    throw new TypeError(
      'not set: one of AZURE_CLIENT_SECRET, AZURE_CLIENT_CERTIFICATE_PATH, AZURE_FEDERATED_TOKEN_FILE',
    );
  }
  return { authorityHost: value('AZURE_AUTHORITY_HOST') ?? clouds.public, tenantId, clientId, credential };
};
