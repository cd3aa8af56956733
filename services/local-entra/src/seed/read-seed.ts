import { ConfigError } from '@countersign/service-kit';
import { isMap, isNode, isPair, LineCounter, parseDocument, type Document } from 'yaml';
import type { z } from 'zod';
import { seedSchema, type ParsedSeed, type Seed } from './seed-schema.ts';

/** The longest list of mistakes that is worth reading at once. */
const maxProblems = 20;

const fieldName = (path: readonly PropertyKey[]): string =>
  path.reduce<string>(
    (name, part) => (typeof part === 'number' ? `${name}[${part}]` : `${name}${name && '.'}${String(part)}`),
    '',
  );

/** The line where a field stands, or its closest parent that does. */
const lineOf = (document: Document, lines: LineCounter, path: readonly PropertyKey[]): number => {
  for (let length = path.length; length >= 0; length--) {
    const node: unknown = document.getIn(path.slice(0, length), true);
    if (isNode(node) && node.range) return lines.linePos(node.range[0]).line;
  }
  return 1;
};

const keyLine = (
  document: Document,
  lines: LineCounter,
  path: readonly PropertyKey[],
  key: string,
): number => {
  const parent: unknown = path.length === 0 ? document.contents : document.getIn(path, true);
  const pair = isMap(parent)
    ? parent.items.find((item) => isPair(item) && String(item.key) === key)
    : undefined;
  return isNode(pair?.key) && pair.key.range
    ? lines.linePos(pair.key.range[0]).line
    : lineOf(document, lines, path);
};

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
export const readSeed = (seed: string | Seed, source = 'the seed'): ParsedSeed => {
  if (typeof seed !== 'string') return check(seed, source, () => '');
  const lines = new LineCounter();
  const document = parseDocument(seed, { lineCounter: lines });
  if (document.errors.length > 0) {
    throw new ConfigError(
      document.errors.map(
        (error) => `${source}, line ${error.linePos?.[0].line ?? 1}: ${firstLine(error.message)}`,
      ),
    );
  }
  return check(document.toJS(), source, (path, key) => {
    const number = key === undefined ? lineOf(document, lines, path) : keyLine(document, lines, path, key);
    return `line ${number}: `;
  });
};

const firstLine = (text: string): string => text.split('\n', 1)[0]?.replace(/ at line \d+.*$/, '') ?? '';
