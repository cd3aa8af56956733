import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { configSchema as gateway } from '../../gateway/src/config.ts';
import { configSchema as callerApi } from '../../services/caller-api/src/config.ts';
import { configSchema as localEntra } from '../../services/local-entra/src/config.ts';
import { configSchema as recordsApi } from '../../services/records-api/src/config.ts';

const document = readFileSync(new URL('../../docs/configuration.md', import.meta.url), 'utf8');
const sections = new Map(
  document.split(/^## /m).map((section) => [section.split(/[ \n]/, 1)[0], section] as const),
);
const namesIn = (section = ''): string[] =>
  section
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .flatMap((line) =>
      [...(line.split('|')[1] ?? '').matchAll(/`([A-Z][A-Z_]+)`/g)].map(([, name]) => name as string),
    );
const common = namesIn(sections.get('Every'));

test.each(
  Object.entries({ gateway, 'records-api': recordsApi, 'caller-api': callerApi, 'local-entra': localEntra }),
)('docs/configuration.md names every variable of %s, and no other', (name, schema) => {
  const documented = [...new Set([...common, ...namesIn(sections.get(name))])];
  expect(documented.toSorted()).toEqual(Object.keys(schema.shape).toSorted());
});

test('docs/architecture.md names files that exist', () => {
  const walk = readFileSync(new URL('../../docs/architecture.md', import.meta.url), 'utf8');
  const files = [...walk.matchAll(/`((?:gateway|packages|services|tests)\/[\w./-]+\.(?:ts|yaml))`/g)].map(
    ([, file]) => file as string,
  );
  expect(files.length).toBeGreaterThan(20);
  for (const file of files)
    expect(readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8')).not.toBe('');
});
