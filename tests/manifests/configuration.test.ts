import { describe, expect, test } from '@jest/globals';
import { combinations } from './combinations.ts';
import { configurationProblems } from './configuration.ts';
import type { Manifest } from './manifest.ts';

/** caller-api knows no other credential than a secret's file yet. */
const awaited = 'Deployment caller-api: AZURE_CLIENT_SECRET_FILE is missing';
const problemsOf = (objects: Manifest[]): string[] =>
  configurationProblems(objects).filter((problem) => problem !== awaited);

describe.each(combinations.slice(0, 2))('the configuration of $name', ({ objects }) => {
  test('is one that each service starts with', () => {
    expect(problemsOf(objects())).toEqual([]);
  });

  test('may hold no variable that its service does not know, and may miss none that it needs', () => {
    const spoilt = structuredClone(objects());
    const gateway = spoilt.find(
      ({ kind, metadata }) => kind === 'ConfigMap' && metadata.name.startsWith('gateway'),
    );
    Object.assign(gateway?.data ?? {}, { UPSTREAM: 'a typing mistake' });
    delete gateway?.data?.['AZURE_TENANT_ID'];
    expect(problemsOf(spoilt)).toEqual([
      'Deployment gateway: its service does not know UPSTREAM',
      'Deployment gateway: AZURE_TENANT_ID is needed to check the tokens of APIS',
    ]);
  });
});
