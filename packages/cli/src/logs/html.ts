import type { LoggedRequest } from './request.ts';
import { applicationName } from './request.ts';
import { stepsOf } from './span.ts';
import { flatten, type SpanNode, type Trace } from './trace.ts';
import { milliseconds, skewWords } from './waterfall.ts';

const escapes: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};
const escape = (text: string): string =>
  text.replaceAll(/[&<>"']/g, (character) => escapes[character] as string);

const style = `
:root{color-scheme:light dark;--ok:#2e7d32;--client:#b26a00;--server:#c62828;--step:#0277bd;--line:#8884}
body{font:14px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:76rem;padding:0 1rem}
h1{font-size:1.4rem}summary{cursor:pointer;display:grid;grid-template-columns:12rem 4rem 6rem 1fr 12rem;gap:.8rem;padding:.3rem 0}
details{border-bottom:1px solid var(--line)}.row{display:grid;grid-template-columns:24rem 1fr 6rem;gap:.8rem;align-items:center}
.track{position:relative;height:.9rem;background:var(--line)}.bar{position:absolute;inset-block:0;min-width:2px;background:var(--ok)}
.client .bar{background:var(--client)}.server .bar{background:var(--server)}.step .bar{background:var(--step)}
.name{overflow:hidden;text-overflow:ellipsis;white-space:nowrap}.why{color:var(--server)}.meta{opacity:.7}.culprit .name{font-weight:700}
.waterfall{padding:.5rem 0 1.2rem}
`;

const kindOf = (status: number | undefined): string =>
  status === undefined || status >= 500 ? 'server' : status >= 400 ? 'client' : 'ok';

const row = (
  name: string,
  depth: number,
  className: string,
  share: { from: number; length: number },
  duration: string,
): string =>
  `<div class="row ${className}"><div class="name" style="padding-left:${depth}rem">${escape(name)}</div><div class="track"><div class="bar" style="left:${(share.from * 100).toFixed(2)}%;width:${(share.length * 100).toFixed(2)}%"></div></div><div>${escape(duration)}</div></div>`;

const clamp = (share: number): number => Math.max(0, Math.min(1, share));

const nodeRows = (node: SpanNode, depth: number, trace: Trace): string[] => {
  const { span, startMs, children } = node;
  const whole = Math.max(trace.durationMs, 0.001);
  const shareOf = (fromMs: number, durationMs: number) => {
    const from = clamp((fromMs - trace.startMs) / whole);
    return { from, length: Math.min(clamp(durationMs / whole), 1 - from) };
  };
  const isCulprit = node === trace.culprit;
  return [
    row(
      `${span.service} ${span.method} ${span.route} ${span.status ?? ''}`,
      depth,
      `${kindOf(span.status)}${isCulprit ? ' culprit' : ''}`,
      shareOf(startMs, span.durationMs),
      milliseconds(span.durationMs),
    ),
    ...(isCulprit
      ? [
          `<p class="why" style="padding-left:${depth}rem">◀ cause: ${escape(span.cause ?? 'not in its log')}</p>`,
        ]
      : []),
    ...stepsOf(span).map(({ name, atMs, durationMs, outcome }) =>
      row(
        `· ${name}${outcome === undefined ? '' : ` (${outcome})`}`,
        depth + 1,
        'step',
        shareOf(startMs + atMs, durationMs),
        milliseconds(durationMs),
      ),
    ),
    ...children.flatMap((child) => nodeRows(child, depth + 1, trace)),
  ];
};

const section = ({ request, trace }: PageEntry): string => `<details>
<summary><span>${escape(new Date(request.startMs).toISOString())}</span><b>${request.status ?? '–'}</b><span>${milliseconds(request.durationMs)}</span><span class="name">${escape(`${request.method} ${request.path}`)}${request.cause === undefined ? '' : ` <span class="why">${escape(request.cause)}</span>`}</span><span class="name">${escape(request.azp === undefined ? '' : applicationName(request.azp))}</span></summary>
<div class="waterfall"><p class="meta">trace ${escape(trace.id)} · request ${escape(request.requestId)} · ${trace.roots.flatMap(flatten).length} spans${skewWords(
  trace,
)
  .map((words) => ` · ${escape(words)}`)
  .join('')}</p>
${trace.roots.flatMap((root) => nodeRows(root, 0, trace)).join('\n')}
</div></details>`;

export interface PageEntry {
  request: LoggedRequest;
  trace: Trace;
}

/** One page that needs nothing else: no script, no address. */
export const renderPage = (entries: readonly PageEntry[], note: string): string => `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Requests</title><style>${style}</style></head><body>
<h1>Requests</h1><p class="meta">${escape(note)}</p>
${entries.map(section).join('\n')}
</body></html>
`;
