import {
  ClientCertificateCredential,
  ClientSecretCredential,
  WorkloadIdentityCredential,
  type TokenCredential,
} from '@azure/identity';

// Prints the token that @azure/identity gets with the credential that CREDENTIAL names.
const env = (name: string): string => process.env[name] ?? '';
const [tenantId, clientId] = [env('AZURE_TENANT_ID'), env('AZURE_CLIENT_ID')];
const options = { authorityHost: env('AZURE_AUTHORITY_HOST'), disableInstanceDiscovery: true };

const credentials: Record<string, () => TokenCredential> = {
  secret: () => new ClientSecretCredential(tenantId, clientId, env('AZURE_CLIENT_SECRET'), options),
  certificate: () =>
    new ClientCertificateCredential(
      tenantId,
      clientId,
      { certificatePath: env('AZURE_CLIENT_CERTIFICATE_PATH') },
      options,
    ),
  workload: () =>
    new WorkloadIdentityCredential({
      ...options,
      tenantId,
      clientId,
      tokenFilePath: env('AZURE_FEDERATED_TOKEN_FILE'),
    }),
};

const token = await credentials[env('CREDENTIAL')]?.().getToken(env('SCOPE'));
process.stdout.write(token?.token ?? '');
