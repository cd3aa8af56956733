import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { combinations } from './combinations.ts';
import { ofKind } from './manifest.ts';

const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');

/** Service accounts that act as something in Entra, as `namespace:name`. */
const federated = ofKind(combinations[1]?.objects() ?? [], 'ServiceAccount')
  .filter(({ metadata }) => metadata.annotations?.['azure.workload.identity/client-id'])
  .map(({ metadata }) => `${metadata.namespace}:${metadata.name}`)
  .toSorted();

/** The one that provisioning federates: it is an app registration. */
const callerApi = 'countersign:caller-api';

test('every federated service account is one that Bicep, docs/aks.md and provisioning make a credential for', () => {
  const inBicep = [...read('infra/main.bicep').matchAll(/system:serviceaccount:([^']+)'/g)].map(
    ([, subject = '']) => subject.replace('${namespace}', 'countersign'),
  );
  expect([...inBicep, callerApi].toSorted()).toEqual(federated);
  const inDocs = [...read('docs/aks.md').matchAll(/^federate \S+ (\S+)$/gm)].map(
    ([, subject = '']) => subject,
  );
  expect([...inDocs, callerApi].toSorted()).toEqual(federated);
  expect(read('packages/cli/provision.aks.yaml')).toMatch(
    /namespace: countersign\n\s+serviceAccount: caller-api\n/,
  );
});

test('the commands of docs/aks.md name what the manifests have', () => {
  const docs = read('docs/aks.md');
  const names = new Set((combinations[1]?.objects() ?? []).map(({ metadata }) => metadata.name));
  for (const [, name = ''] of docs.matchAll(/(?:job|gateway|deployment|service)\/([a-z-]+)/g)) {
    expect(names).toContain(name);
  }
  for (const [, component = ''] of docs.matchAll(/`components\/([a-z-]+)`/g)) {
    expect(() => read(`k8s/components/${component}/kustomization.yaml`)).not.toThrow();
  }
});
