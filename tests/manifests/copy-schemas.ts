/**
 * Makes `schemas/` from a folder of the cluster's own strict JSON schemas, one file per kind, without their descriptions:
 * `node tests/manifests/copy-schemas.ts <folder> deployment-apps-v1 service-v1 …`
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const shorten = (key: string, value: unknown): unknown => {
  if ((key === 'description' && typeof value === 'string') || key.startsWith('x-kubernetes'))
    return undefined;
  // Go's way of writing a Unicode category.
  return key === 'pattern' && typeof value === 'string' ? value.replaceAll(/\\([pP])C/g, '\\$1{C}') : value;
};

const [folder = '', ...names] = process.argv.slice(2);
for (const name of names) {
  const schema: unknown = JSON.parse(readFileSync(join(folder, `${name}.json`), 'utf8'));
  const target = new URL(`schemas/${name}.json`, import.meta.url);
  writeFileSync(target, `${JSON.stringify(schema, shorten)}\n`);
}
