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

/** A value that every reader of such files takes as it is. */
const quotedValue = (value: string): string =>
  /^[\w./:@,=+-]*$/.test(value) ? value : `"${value.replaceAll(/["\\$`]/g, String.raw`\$&`)}"`;

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
      return value === undefined ? [] : [[name, `${name}=${quotedValue(value)}`] as const];
    }),
  );
  const content = (await readIfThere(file)) ?? '# Written by countersign provision apply; holds no secret.\n';
  const lines = content
    .replace(/\n$/, '')
    .split('\n')
    .map((line) => {
      const name = /^(?:export\s+)?(\w+)=/.exec(line)?.[1] ?? '';
      const next = wanted.get(name);
      wanted.delete(name);
      return next ?? line;
    });
  await writePrivately(file, `${[...lines, ...wanted.values()].join('\n')}\n`);
};
