import { type Html, html } from '../html.ts';
import type { RecordEntry } from '../records-client.ts';
import { journeyPanel, type JourneyView } from './journey-panel.ts';
import { layout } from './layout.ts';

export interface RecordsView {
  records: readonly RecordEntry[];
  /** Address of the next page; undefined on the last. */
  next: string | undefined;
  isFirst: boolean;
  /** Whether who looks may add and edit. */
  mayWrite: boolean;
  journey: JourneyView;
}

const row = ({ id, name, description, date }: RecordEntry, action: string): Html =>
  html`<tr><td class="short">${id}</td><th scope="row">${name}</th><td class="preserved">${description}</td><td class="short"><time datetime="${date}">${date.slice(0, 10)}</time></td><td><a href="/caller/records/${id}">${action}<span class="aside"> ${name}</span></a></td></tr>\n`;

/** A page of records as a table. */
export const recordsPage = ({ records, next, isFirst, mayWrite, journey }: RecordsView): string =>
  layout(
    'Records',
    html`<div class="head"><h1>Records</h1>${mayWrite ? html`<a class="button" href="/caller/records/new">Add a record</a>` : ''}</div>
<div class="card wide" role="region" aria-labelledby="records" tabindex="0">
<table>
<caption id="records">${records.length} records from records-api</caption>
<thead><tr><th scope="col">Id</th><th scope="col">Name</th><th scope="col">Description</th><th scope="col">Date</th><th scope="col"><span class="aside">Action</span></th></tr></thead>
<tbody>
${records.map((record) => row(record, mayWrite ? 'Edit' : 'Open'))}</tbody>
</table>
</div>
<nav class="pages" aria-label="Pages">
${isFirst ? '' : html`<a href="/caller/records">First page</a>\n`}${next === undefined ? '' : html`<a href="${next}" rel="next">Next page</a>\n`}</nav>
${journeyPanel(journey)}`,
  );
