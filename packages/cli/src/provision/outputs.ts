import { parseEnv } from 'node:util';
import { UsageError } from '../command-error.ts';
import { readIfThere, writePrivately } from '../private-file.ts';
import type { DiffLine } from './plan.ts';

export type Placeholders = ReadonlyMap<string, string | undefined>;

/** Fills `{api1.appId}` and the like. Undefined while a value is not known yet. @throws {UsageError} for unknown names */
const fill = (template: string, placeholders: Placeholders, file: string): string | undefined => {
  let isKnown = true;
  const text = template.replaceAll(/\{([\w.-]+)\}/g, (_, name: string) => {
    if (!placeholders.has(name)) {
      const names = [...placeholders.keys()].map((each) => `{${each}}`).join(', ');
      throw new UsageError(`outputs: ${file} uses {${name}}, which is none of ${names}.`);
    }
    const value = placeholders.get(name);
    isKnown &&= value !== undefined;
    return value ?? '';
  });
  return isKnown ? text : undefined;
};

/** What compose, kustomize, Node and shells take as it is, or as near to it as they can. */
const isPlain = (value: string): boolean => /^[\w./:@,=+-]*(?: [\w./:@,=+-]+)*$/.test(value);

export interface Output {
  file: string;
  values: Readonly<Record<string, string>>;
}

/** What differs between a file and its values. */
export const compareOutput = async (
  { file, values }: Output,
  placeholders: Placeholders,
): Promise<DiffLine[]> => {
  const content = await readIfThere(file);
  const current = parseEnv(content ?? '');
  return Object.entries(values).flatMap(([name, template]): DiffLine[] => {
    const value = fill(template, placeholders, file);
    if (value === undefined) return [{ sign: '+', text: `${name}: known after apply` }];
    if (!isPlain(value)) {
      throw new UsageError(
        `outputs: ${file}: readers of such files do not agree on this value of ${name}: ${value}`,
      );
    }
    if (current[name] === value) return [];
    const from = current[name];
    return [
      from === undefined
        ? { sign: '+', text: `${name}=${value}` }
        : { sign: '~', text: `${name}: ${from} → ${value}` },
    ];
  });
};

/** Sets the values in a file of variables; its other lines stay. */
export const writeOutput = async ({ file, values }: Output, placeholders: Placeholders): Promise<void> => {
  const wanted = new Map(
    Object.entries(values).flatMap(([name, template]) => {
      const value = fill(template, placeholders, file);
      return value === undefined ? [] : [[name, `${name}=${value}`] as const];
    }),
  );
  const written = new Set<string>();
  const content = (await readIfThere(file)) ?? '# Written by countersign provision apply; holds no secret.\n';
  const lines = content
    .replace(/\n$/, '')
    .split('\n')
    .map((line) => {
      const name = /^\s*(?:export\s+)?(\w+)\s*=/.exec(line)?.[1] ?? '';
      const next = wanted.get(name);
      if (next !== undefined) written.add(name);
      return next ?? line;
    });
  const added = [...wanted].flatMap(([name, line]) => (written.has(name) ? [] : [line]));
  await writePrivately(file, `${[...lines, ...added].join('\n')}\n`);
};
