import { readFileSync } from 'node:fs';
import { Ajv } from 'ajv';
import { nameOf, type Manifest } from './manifest.ts';

const ownGroups = /^[^.]*$|^(networking|scheduling)\.k8s\.io$/;

/** Custom resources by name_version, Kubernetes' own by name-group-version, as the schemas are named. */
const fileOf = ({ apiVersion, kind }: Manifest): string => {
  const [version = '', group = ''] = apiVersion.split('/').toReversed();
  const name = kind.toLowerCase();
  if (!ownGroups.test(group)) return `${name}_${version}`;
  return [name, group.split('.')[0], version].filter(Boolean).join('-');
};

const ajv = new Ajv({ allErrors: true, strict: false, validateFormats: false });

/** What is wrong with an object by the strict schema of its kind, unknown fields included. */
export const schemaProblems = (object: Manifest): string[] => {
  const file = fileOf(object);
  let validate = ajv.getSchema(file);
  if (!validate) {
    let text: string;
    try {
      text = readFileSync(new URL(`schemas/${file}.json`, import.meta.url), 'utf8');
    } catch {
      return [`${nameOf(object)}: there is no schema ${file}`];
    }
    ajv.addSchema(JSON.parse(text) as object, file);
    validate = ajv.getSchema(file);
  }
  if (validate?.(object)) return [];
  return (validate?.errors ?? []).map(
    ({ instancePath, message, params }) =>
      `${nameOf(object)}: ${instancePath} ${message} ${JSON.stringify(params)}`,
  );
};
