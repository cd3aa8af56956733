import { describe, expect, test } from '@jest/globals';
import { combinations } from './combinations.ts';
import { configurationProblems } from './configuration.ts';

describe.each(combinations.slice(0, 2))('the configuration of $name', ({ objects }) => {
  test('is one that each service starts with', () => {
    expect(configurationProblems(objects())).toEqual([]);
  });

  test('may hold no variable that its service does not know, and may miss none that it needs', () => {
    const spoilt = structuredClone(objects());
    const data = (name: string): Record<string, string> =>
      spoilt.find(({ kind, metadata }) => kind === 'ConfigMap' && metadata.name.startsWith(name))?.data ?? {};
    Object.assign(data('gateway'), { UPSTREAM: 'a typing mistake' });
    delete data('records-api')['API_CLIENT_ID'];
    expect(configurationProblems(spoilt)).toEqual([
      'Deployment gateway: its service does not know UPSTREAM',
      'Deployment records-api: API_CLIENT_ID is missing',
    ]);
  });
});

describe('workload identity', () => {
  const spoil = (annotation: string, value?: string): string[] => {
    const objects = structuredClone(combinations[1]?.objects() ?? []);
    const account = objects.find(
      ({ kind, metadata }) => kind === 'ServiceAccount' && metadata.name === 'caller-api',
    );
    const annotations = account?.metadata.annotations as Record<string, string>;
    if (value === undefined) delete annotations[`azure.workload.identity/${annotation}`];
    else annotations[`azure.workload.identity/${annotation}`] = value;
    return configurationProblems(objects);
  };

  test('may not be of another tenant or application than the configuration', () => {
    expect(spoil('tenant-id')).toEqual([
      'Deployment caller-api: its ServiceAccount says otherwise what AZURE_TENANT_ID is',
    ]);
    expect(spoil('client-id', '99999999-9999-4999-8999-999999999999')).toEqual([
      'Deployment caller-api: its ServiceAccount says otherwise what AZURE_CLIENT_ID is',
    ]);
  });

  test('is what caller-api has for a credential', () => {
    const objects = structuredClone(combinations[1]?.objects() ?? []);
    for (const { spec } of objects) {
      const { template } = (spec ?? {}) as { template?: { metadata: { labels: Record<string, string> } } };
      if (template) delete template.metadata.labels['azure.workload.identity/use'];
    }
    expect(configurationProblems(objects).join()).toContain(
      'caller-api: one of AZURE_CLIENT_SECRET_FILE, AZURE_CLIENT_CERTIFICATE_PATH, AZURE_FEDERATED_TOKEN_FILE has to be set',
    );
  });
});
