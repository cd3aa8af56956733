import { type Html, html } from '../html.ts';
import type { Journey, Step, TokenNote } from '../journey.ts';

/** What is shown of a journey, as it is when the page is made. */
export interface JourneyView {
  steps: readonly Step[];
  token: TokenNote | undefined;
  elapsedMs: number;
  requestId: string;
  /** Milliseconds since 1970. */
  nowMs: number;
}

export const journeyView = (journey: Journey, requestId: string): JourneyView => ({
  steps: journey.steps,
  token: journey.token,
  elapsedMs: journey.elapsedMs(),
  requestId,
  nowMs: Date.now(),
});

const milliseconds = (ms: number): string => `${ms.toFixed(1)} ms`;

const expiry = ({ expiresAt }: TokenNote, nowMs: number): Html => {
  const iso = expiresAt.toISOString();
  const minutes = Math.max(0, Math.round((expiresAt.getTime() - nowMs) / 60_000));
  return html`<time datetime="${iso}">${iso.slice(0, 16).replace('T', ' ')} UTC</time>, in ${minutes} minutes`;
};

const tokenList = (token: TokenNote | undefined, nowMs: number): Html => {
  if (!token) return html`<dt>Token</dt><dd>none</dd>\n`;
  const source = token.fromCache ? 'from the cache' : `taken from Entra in ${milliseconds(token.durationMs)}`;
  const roles = token.roles.map((role, index) => html`${index > 0 ? ' ' : ''}<code>${role}</code>`);
  return html`<dt>Token</dt><dd>${source}</dd>
<dt>It ends</dt><dd>${expiry(token, nowMs)}</dd>
<dt>Its app roles</dt><dd>${roles.length > 0 ? roles : 'none'}</dd>
`;
};

const labels: Readonly<Record<Step['name'], string>> = {
  token: 'token cache',
  entra: 'Entra',
  call: 'records-api',
};

type Bar = Omit<Step, 'name'> & { kind: Step['name'] | 'total'; label: string };

/** One row of the waterfall: its bar is where and as long as the step was, of the whole. */
const row = ({ kind, label, atMs, durationMs, outcome }: Bar, totalMs: number): Html => {
  const start = Math.min(99, (100 * atMs) / totalMs);
  const width = Math.max(1, Math.min(100 - start, (100 * durationMs) / totalMs));
  return html`<tr><th class="step" scope="row">${label}</th><td>${outcome}</td><td><svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true"><rect class="track" width="100" height="10"/><rect class="${kind}" x="${start.toFixed(2)}" width="${width.toFixed(2)}" height="10"/></svg></td><td class="short">${milliseconds(atMs)}</td><td class="short">${milliseconds(durationMs)}</td></tr>\n`;
};

/** How the page came to be: the token, never itself, and what took how long. */
export const journeyPanel = ({ steps, token, elapsedMs, requestId, nowMs }: JourneyView): Html => {
  const bars: Bar[] = steps.map(({ name, ...step }) => ({ ...step, kind: name, label: labels[name] }));
  bars.push({ kind: 'total', label: 'this page', atMs: 0, durationMs: elapsedMs, outcome: '' });
  return html`<section class="card" aria-labelledby="journey">
<h2 id="journey">How this page came to be</h2>
<dl>
${steps.length > 0 ? tokenList(token, nowMs) : ''}<dt>Request</dt><dd><code>${requestId}</code></dd>
</dl>
<table class="steps">
<caption class="aside">Steps of this request, in milliseconds</caption>
<thead><tr><th scope="col">Step</th><th scope="col">Outcome</th><th scope="col">When</th><th scope="col">After</th><th scope="col">Took</th></tr></thead>
<tbody>
${bars.map((bar) => row(bar, elapsedMs))}</tbody>
</table>
</section>
`;
};
