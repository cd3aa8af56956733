import { ConfigError } from '@countersign/service-kit';
import type { z } from 'zod';
import { seedSchema, type ParsedSeed, type Seed } from './seed-schema.ts';

/** The longest list of mistakes that is worth reading at once. */
const maxProblems = 20;

const fieldName = (path: readonly PropertyKey[]): string =>
  path.reduce<string>(
    (name, part) => (typeof part === 'number' ? `${name}[${part}]` : `${name}${name && '.'}${String(part)}`),
    '',
  );

const describe = (
  issue: z.core.$ZodIssue,
  line: (path: readonly PropertyKey[], key?: string) => string,
): string[] => {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map(
      (key) => `${line(issue.path, key)}${fieldName([...issue.path, key])} is not a known field`,
    );
  }
  const field = fieldName(issue.path) || 'the seed';
  const message = /^(must|repeats|names)/.test(issue.message)
    ? issue.message
    : `is wrong: ${issue.message.charAt(0).toLowerCase()}${issue.message.slice(1)}`;
  return [`${line(issue.path)}${field} ${message}`];
};

const check = (
  value: unknown,
  source: string,
  line: (path: readonly PropertyKey[], key?: string) => string,
): ParsedSeed => {
  const result = seedSchema.safeParse(value);
  if (result.success) return result.data;
  const problems = result.error.issues.flatMap((issue) => describe(issue, line));
  const more = problems.length - maxProblems;
  const shown = problems.slice(0, maxProblems).map((problem) => `${source}, ${problem}`);
  throw new ConfigError(more > 0 ? [...shown, `and ${more} more`] : shown);
};

/**
 * Checks a seed.
 *
 * @param seed YAML or JSON text, or the object itself.
 * @param source how messages name it, such as the file's path.
 * @throws {ConfigError} one message with every mistake: the line, where there is one, the field, and what is wrong.
 */
export const readSeed = async (seed: string | Seed, source = 'the seed'): Promise<ParsedSeed> => {
  if (typeof seed !== 'string') return check(seed, source, () => '');
  // A good seed in JSON needs no lines, and a big one takes a tenth of time and memory so.
  const fromJson = seedSchema.safeParse(parseJson(seed));
  if (fromJson.success) return fromJson.data;
  const { parseYaml } = await import('./parse-yaml.ts');
  const { value, lineAt } = parseYaml(seed, source);
  return check(value, source, (path, key) => `line ${lineAt(path, key)}: `);
};

const parseJson = (text: string): unknown => {
  if (!text.trimStart().startsWith('{')) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
};
