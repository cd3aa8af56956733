/** What a PromQL expression looks for. */
export interface PromqlNames {
  metrics: string[];
  /** Labels that it groups by, or asks for by their value; those of the scrape itself (`job`, `instance`) left out. */
  labels: string[];
}

const words: ReadonlySet<string> = new Set([
  'by',
  'without',
  'on',
  'ignoring',
  'and',
  'or',
  'unless',
  'bool',
]);
/** Given by Prometheus. */
const scrapeLabels: ReadonlySet<string> = new Set(['job', 'instance']);

/** The names in an expression, as far as the rules and dashboards of this repository go. */
export const namesInPromql = (expression: string): PromqlNames => {
  const plain = expression.replaceAll(/"(?:[^"\\]|\\.)*"/g, '""').replaceAll(/\[[^\]]*\]/g, '');
  const matchers = [...plain.matchAll(/\{([^}]*)\}/g)].flatMap(([, inside = '']) =>
    [...inside.matchAll(/([a-z_]\w*)\s*(?:=~|!~|!=|=)/gi)].map(([, name]) => name as string),
  );
  const groups = [...plain.matchAll(/\b(?:by|without|on|ignoring)\s*\(([^)]*)\)/g)].flatMap(
    ([, inside = '']) =>
      inside
        .split(',')
        .map((name) => name.trim())
        .filter(Boolean),
  );
  const rest = plain.replaceAll(/\{[^}]*\}/g, '').replaceAll(/\b(?:by|without|on|ignoring)\s*\([^)]*\)/g, '');
  const metrics = [...rest.matchAll(/\b[a-z_][\w:]*\b(?!\s*\()/gi)]
    .map(([name]) => name)
    .filter((name) => !words.has(name));
  const labels = [...matchers, ...groups].filter((name) => !scrapeLabels.has(name));
  return { metrics: [...new Set(metrics)], labels: [...new Set(labels)] };
};
