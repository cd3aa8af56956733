import { ofKind, type Container, type Manifest, type Workload } from './manifest.ts';

/** What the webhook of AKS workload identity sets in pods that ask for it. */
const workloadIdentity = (
  objects: readonly Manifest[],
  { labels, pod, namespace }: Workload,
): Record<string, string> => {
  if (labels['azure.workload.identity/use'] !== 'true') return {};
  const account = ofKind(objects, 'ServiceAccount').find(
    ({ metadata }) => metadata.name === pod.serviceAccountName && metadata.namespace === namespace,
  );
  const clientId = account?.metadata.annotations?.['azure.workload.identity/client-id'];
  return {
    AZURE_AUTHORITY_HOST: 'https://login.microsoftonline.com/',
    AZURE_FEDERATED_TOKEN_FILE: '/var/run/secrets/azure/tokens/azure-identity-token',
    AZURE_TENANT_ID: '00000000-0000-4000-8000-000000000000',
    ...(clientId && { AZURE_CLIENT_ID: clientId }),
  };
};

/** What a container of a workload finds in its environment. */
export const environmentOf = (
  objects: readonly Manifest[],
  workload: Workload,
  { env = [], envFrom = [] }: Container,
): Record<string, string> => ({
  ...workloadIdentity(objects, workload),
  ...Object.assign(
    {},
    ...envFrom.map(
      ({ configMapRef }) =>
        ofKind(objects, 'ConfigMap').find(
          ({ metadata }) => metadata.name === configMapRef?.name && metadata.namespace === workload.namespace,
        )?.data,
    ),
  ),
  ...Object.fromEntries(env.map(({ name, value = '' }) => [name, value])),
});
