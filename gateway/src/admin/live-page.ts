import { createHash } from 'node:crypto';
import type { UpstreamState } from '../upstream/upstream.ts';
import { type RecentRequests, type Second, shownSeconds } from './recent-requests.ts';

const style = `
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; --line: color-mix(in srgb, currentColor 25%, transparent); }
body { max-width: 60rem; margin: 1.5rem auto; padding: 0 1rem; }
figure { margin: 0 0 1.5rem; }
svg { width: 100%; height: auto; border: 1px solid var(--line); border-radius: 0.25rem; }
polyline { fill: none; stroke-width: 1.5; vector-effect: non-scaling-stroke; }
text { font-size: 11px; fill: currentColor; } rect { fill: #dc2626; }
.a { stroke: #2563eb; } .b { stroke: #d97706; } .c { stroke: #dc2626; }
table { border-collapse: collapse; width: 100%; margin-bottom: 1.5rem; }
th, td { text-align: start; padding: 0.25rem 0.75rem; border-bottom: 1px solid var(--line); }`;

/** For the header that goes with the page. */
export const livePagePolicy = `default-src 'none'; style-src 'sha256-${createHash('sha256')
  .update(style)
  .digest('base64')}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;

const escaped = (text: string): string =>
  text.replaceAll(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);

interface Line {
  name: string;
  style: 'a' | 'b' | 'c';
  values: readonly number[];
}

const [width, height] = [600, 90];

const chart = (title: string, unit: string, lines: readonly Line[]): string => {
  const most = Math.max(1, ...lines.flatMap(({ values }) => values));
  const polylines = lines.map(({ style: name, values }) => {
    const points = values.map((value, index) => {
      const x = (index / (shownSeconds - 1)) * width;
      const y = height - 4 - (value / most) * (height - 12);
      return `${x.toFixed(1)},${y.toFixed(1)}`;
    });
    return `<polyline class="${name}" points="${points.join(' ')}"/>`;
  });
  const now = lines.map(
    ({ name, values }) => `${name} ${(values.at(-2) ?? 0).toFixed(unit === 'ms' ? 1 : 0)}`,
  );
  const label = `${title}: ${now.join(', ')} ${unit}; at most ${most.toFixed(unit === 'ms' ? 1 : 0)} in ${shownSeconds} s`;
  return `<figure><figcaption>${label}</figcaption>
<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${label}">${polylines.join('')}</svg></figure>`;
};

type ErrorCount = ReturnType<RecentRequests['errors']>[number];

const barStep = 28;

/** A line of text and a bar for each. */
const bars = (title: string, errors: readonly ErrorCount[]): string => {
  const most = Math.max(1, ...errors.map(({ count }) => count));
  const labels = errors.map(({ route, cause, count }) => escaped(`${route} ${cause}: ${count}`));
  const drawn = errors.map(({ count }, index) => {
    const y = index * barStep;
    const text = `<text x="4" y="${y + 13}">${labels[index]}</text>`;
    return `${text}<rect x="4" y="${y + 17}" width="${((count / most) * (width - 8)).toFixed(1)}" height="6"/>`;
  });
  const label = `${title}: ${labels.join(', ') || 'none'}`;
  return `<figure><figcaption>${title}</figcaption>
<svg viewBox="0 0 ${width} ${Math.max(1, errors.length) * barStep}" role="img" aria-label="${label}">${drawn.join('')}</svg></figure>`;
};

const row = (cells: readonly (string | number)[]): string =>
  `<tr>${cells.map((cell) => `<td>${escaped(String(cell))}</td>`).join('')}</tr>`;

const table = (heads: readonly string[], rows: readonly string[]): string =>
  `<table><thead><tr>${heads.map((head) => `<th scope="col">${head}</th>`).join('')}</tr></thead><tbody>${rows.join('')}</tbody></table>`;

const rowsOf = ({ name, breaker, inFlight, queued, endpoints }: UpstreamState): string[] =>
  endpoints.length === 0
    ? [row([name, breaker, inFlight, queued, 'none', '', '', 0])]
    : endpoints.map(({ origin, state, lastFailure, openConnections }) =>
        row([name, breaker, inFlight, queued, origin, state, lastFailure ?? '', openConnections]),
      );

/** The last two minutes and the upstreams, for a person. It loads itself anew; there is no script in it. */
export const renderLivePage = (recent: RecentRequests, upstreams: readonly UpstreamState[]): string => {
  const seconds = recent.seconds();
  const of = (value: (second: Second) => number): number[] => seconds.map(value);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="2">
<title>Gateway</title>
<style>${style}</style>
</head>
<body>
<h1>Gateway</h1>
${chart('Requests per second', 'per s', [
  { name: 'all', style: 'a', values: of(({ requests }) => requests) },
  { name: 'refused or failed', style: 'c', values: of(({ errors }) => errors) },
])}
${chart('Latency', 'ms', [
  { name: 'median', style: 'a', values: of(({ p50Ms }) => p50Ms) },
  { name: '99th percentile', style: 'b', values: of(({ p99Ms }) => p99Ms) },
])}
<h2>Upstreams</h2>
${table(
  ['Upstream', 'Breaker', 'In flight', 'Queued', 'Address', 'State', 'Last failure', 'Connections'],
  upstreams.flatMap(rowsOf),
)}
${bars(`Errors of the last ${shownSeconds} seconds by route and cause`, recent.errors().slice(0, 20))}
</body>
</html>
`;
};
