import { ConfigError } from '@countersign/service-kit';
import { isMap, isNode, isPair, LineCounter, parseDocument, type Document } from 'yaml';

// Loading the YAML parser takes 9 MB: import this where there is YAML.

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

/** A parsed text, and where its fields stand. */
export interface ParsedYaml {
  value: unknown;
  /** The line of a field, or of one of its keys, from 1. */
  lineAt: (path: readonly PropertyKey[], key?: string) => number;
}

/** @throws {ConfigError} with the line of every mistake. */
export const parseYaml = (text: string, source: string): ParsedYaml => {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines });
  if (document.errors.length > 0) {
    throw new ConfigError(
      document.errors.map(
        (error) => `${source}, line ${error.linePos?.[0].line ?? 1}: ${firstLine(error.message)}`,
      ),
    );
  }
  return {
    value: document.toJS(),
    lineAt: (path, key) =>
      key === undefined ? lineOf(document, lines, path) : keyLine(document, lines, path, key),
  };
};

const firstLine = (text: string): string => text.split('\n', 1)[0]?.replace(/ at line \d+.*$/, '') ?? '';
