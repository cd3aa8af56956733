import { createHash } from 'node:crypto';
import type { ProblemDocument } from '@countersign/service-kit';
import type { ParameterizedContext } from 'koa';
import { Html, html } from './html.ts';
import type { RecordsCall } from './records-client.ts';

const style = `
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; --line: color-mix(in srgb, currentColor 20%, transparent); }
body { max-width: 56rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
caption { text-align: start; margin-bottom: 0.5rem; }
th, td { text-align: start; padding: 0.5rem 0.75rem; border-bottom: 1px solid var(--line); }
td:first-child, td:last-child { font-variant-numeric: tabular-nums; white-space: nowrap; }
footer { margin-top: 2rem; font-size: 0.875rem; border-top: 1px solid var(--line); }
code { overflow-wrap: anywhere; }`;

const contentSecurityPolicy = `default-src 'none'; style-src 'sha256-${createHash('sha256')
  .update(style)
  .digest('base64')}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;

const sendPage = (ctx: ParameterizedContext, title: string, content: Html): void => {
  ctx.set('Content-Security-Policy', contentSecurityPolicy);
  ctx.set('X-Content-Type-Options', 'nosniff');
  ctx.set('Cache-Control', 'no-store');
  ctx.type = 'html';
  ctx.body = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<style>${new Html(style)}</style>
</head>
<body>
<main>
<h1>${title}</h1>
${content}
</main>
</body>
</html>
`.text;
};

const milliseconds = (durationMs: number): string => `${durationMs.toFixed(1)} ms`;

/** The records as a table, and how they came to be. */
export const sendRecordsPage = (ctx: ParameterizedContext, call: RecordsCall, requestId: string): void => {
  const rows = call.records.map(
    ({ id, name, description, date }) =>
      html`<tr><td>${id}</td><th scope="row">${name}</th><td>${description}</td><td><time datetime="${date}">${date.slice(0, 10)}</time></td></tr>\n`,
  );
  const token = call.tokenFromCache
    ? 'from the cache'
    : `taken from Entra in ${milliseconds(call.tokenDurationMs)}`;
  sendPage(
    ctx,
    'Records',
    html`<table>
<caption>${call.records.length} records from records-api</caption>
<thead><tr><th scope="col">Id</th><th scope="col">Name</th><th scope="col">Description</th><th scope="col">Date</th></tr></thead>
<tbody>
${rows}</tbody>
</table>
<footer>
<p>Token ${token}; records-api answered in ${milliseconds(call.callDurationMs)}.
Request <code>${requestId}</code>.</p>
</footer>`,
  );
};

/** A problem document for a person. */
export const sendProblemPage = (ctx: ParameterizedContext, problem: ProblemDocument): void => {
  sendPage(
    ctx,
    problem.title,
    html`<p>${problem.detail ?? 'Something went wrong here.'}</p>
<p>Status ${problem.status}, <code>${problem.code}</code>. Request <code>${problem.requestId}</code>.</p>`,
  );
};
