import { ofKind, type Container, type Manifest, type Workload } from './manifest.ts';

/** What the webhook of AKS workload identity sets in pods that ask for it; without an annotation, the cluster's tenant. */
export const workloadIdentity = (
  objects: readonly Manifest[],
  { labels, pod, namespace }: Workload,
): Record<string, string> => {
  if (labels['azure.workload.identity/use'] !== 'true') return {};
  const account = ofKind(objects, 'ServiceAccount').find(
    ({ metadata }) => metadata.name === pod.serviceAccountName && metadata.namespace === namespace,
  );
  const {
    'azure.workload.identity/client-id': clientId,
    'azure.workload.identity/tenant-id': tenantId = '00000000-0000-4000-8000-000000000000',
  } = account?.metadata.annotations ?? {};
  return {
    AZURE_AUTHORITY_HOST: 'https://login.microsoftonline.com/',
    AZURE_FEDERATED_TOKEN_FILE: '/var/run/secrets/azure/tokens/azure-identity-token',
    AZURE_TENANT_ID: tenantId,
    ...(clientId && { AZURE_CLIENT_ID: clientId }),
  };
};

/** What the ConfigMaps that a container names as its environment hold. */
export const mapsOf = (
  objects: readonly Manifest[],
  { namespace }: Workload,
  { envFrom = [] }: Container,
): Record<string, string> =>
  Object.assign(
    {},
    ...envFrom.map(
      ({ configMapRef }) =>
        ofKind(objects, 'ConfigMap').find(
          ({ metadata }) => metadata.name === configMapRef?.name && metadata.namespace === namespace,
        )?.data,
    ),
  ) as Record<string, string>;

/** What a container of a workload finds in its environment. The webhook writes to `env`, which goes before ConfigMaps. */
export const environmentOf = (
  objects: readonly Manifest[],
  workload: Workload,
  container: Container,
): Record<string, string> => ({
  ...mapsOf(objects, workload, container),
  ...workloadIdentity(objects, workload),
  ...Object.fromEntries((container.env ?? []).map(({ name, value = '' }) => [name, value])),
});
