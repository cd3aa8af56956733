import type { ProblemDocument } from '@countersign/service-kit';
import type { Advice } from '../failures.ts';
import { type Html, html } from '../html.ts';
import { journeyPanel, type JourneyView } from './journey-panel.ts';
import { layout } from './layout.ts';

export interface ProblemView {
  problem: ProblemDocument;
  advice: Advice | undefined;
  journey: JourneyView | undefined;
}

const adviceSection = ({ cause, remedy }: Advice): Html =>
  html`<section class="card" aria-labelledby="advice">
<h2 id="advice">What is likely wrong</h2>
<p>${cause}</p>
<h2>What an administrator does about it</h2>
<p>${remedy}</p>
</section>
`;

/** What the service that was called said of it. */
const downstreamList = (downstream: unknown): Html => {
  const { service, status, code, requestId } = Object(downstream) as Record<string, unknown>;
  if (typeof service !== 'string') return html``;
  const answer = [status, code]
    .filter((part) => typeof part === 'string' || typeof part === 'number')
    .join(' ');
  return html`<dt>${service} said</dt><dd>${answer === '' ? 'nothing' : html`<code>${answer}</code>`}</dd>
${typeof requestId === 'string' ? html`<dt>Its request id</dt><dd><code>${requestId}</code></dd>\n` : ''}`;
};

/** A problem document for a person. */
export const problemPage = ({ problem, advice, journey }: ProblemView): string =>
  layout(
    problem.title,
    html`<div class="head"><h1>${problem.title}</h1></div>
<p class="bad" role="alert">${problem.detail ?? 'Something went wrong here.'}</p>
${advice ? adviceSection(advice) : ''}<section class="card" aria-labelledby="problem">
<h2 id="problem">The problem</h2>
<dl>
<dt>Status</dt><dd>${problem.status}</dd>
<dt>Code</dt><dd><code>${problem.code}</code></dd>
${downstreamList(problem['downstream'])}<dt>Request</dt><dd><code>${problem.requestId}</code></dd>
</dl>
<a href="/caller/records">To the records</a>
</section>
${journey ? journeyPanel(journey) : ''}`,
  );
