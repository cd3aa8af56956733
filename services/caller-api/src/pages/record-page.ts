import type { InvalidPart } from '@countersign/service-kit';
import { type Html, html } from '../html.ts';
import type { RecordEntry, VersionedRecord } from '../records-client.ts';
import { journeyPanel, type JourneyView } from './journey-panel.ts';
import { layout } from './layout.ts';

/** What a form holds: texts as they were typed, not yet a record. */
export type Draft = Omit<RecordEntry, 'id'>;

interface FormView {
  action: string;
  draft: Draft;
  /** Goes back with the form: the version that is edited, or the key that makes one record of two clicks. */
  hidden: Readonly<Record<string, string>>;
  submit: string;
  errors?: readonly InvalidPart[];
}

/** Shown with seconds and their fractions where the date has any, so that none is lost. */
const stepOf = (date: string): string => {
  if (!/T\d\d:\d\d:00(\.0+)?Z?$/.test(date)) return /\.0+Z?$|:\d\dZ?$/.test(date) ? '1' : '0.001';
  return '60';
};

/** As `datetime-local` takes it. */
const localDate = (date: string): string =>
  date
    .replace(/Z$/, '')
    .replace(/\.0+$/, '')
    .replace(/(T\d\d:\d\d):00$/, '$1');

const form = ({ action, draft, hidden, submit, errors = [] }: FormView): Html => {
  const problemOf = (name: string): string | undefined =>
    errors.find(({ pointer }) => pointer === `/${name}`)?.detail;
  /** What ties a field to its hint, and to what is wrong with it. */
  const ties = (name: string): Html =>
    problemOf(name) === undefined
      ? html`aria-describedby="${name}-hint"`
      : html`aria-invalid="true" aria-describedby="${name}-wrong ${name}-hint"`;
  const field = (name: string, label: string, hint: string, control: Html): Html =>
    html`<div class="field"><label for="${name}">${label}</label>
${control}
${problemOf(name) === undefined ? '' : html`<p class="wrong" id="${name}-wrong">${label} ${problemOf(name) ?? ''}</p>\n`}<p class="hint" id="${name}-hint">${hint}</p></div>
`;
  const others = errors.filter(({ pointer }) => !['/name', '/description', '/date'].includes(pointer));
  return html`<form class="card" method="post" action="${action}">
${errors.length > 0 ? html`<p class="bad" role="alert">Nothing was saved: some fields are not as they have to be.${others.map(({ pointer, detail }) => html` ${pointer} ${detail}.`)}</p>\n` : ''}${Object.entries(hidden).map(([name, value]) => html`<input type="hidden" name="${name}" value="${value}">\n`)}${field('name', 'Name', '1 to 200 characters', html`<input id="name" name="name" required maxlength="200" value="${draft.name}" ${ties('name')}>`)}${field('description', 'Description', 'up to 2000 characters', html`<textarea id="description" name="description" rows="4" maxlength="2000" ${ties('description')}>\n${draft.description}</textarea>`)}${field('date', 'Date', 'in UTC', html`<input id="date" name="date" type="datetime-local" required step="${stepOf(draft.date)}" value="${localDate(draft.date)}" ${ties('date')}>`)}<div class="actions"><button>${submit}</button><a href="/caller/records">Back to the records</a></div>
</form>
`;
};

export interface NewRecordView {
  draft: Draft;
  idempotencyKey: string;
  errors?: readonly InvalidPart[];
  journey: JourneyView;
}

/** The form that adds a record. */
export const newRecordPage = ({ draft, idempotencyKey, errors = [], journey }: NewRecordView): string =>
  layout(
    'Add a record',
    html`<div class="head"><h1>Add a record</h1></div>
${form({ action: '/caller/records', draft, hidden: { key: idempotencyKey }, submit: 'Add the record', errors })}${journeyPanel(journey)}`,
  );

export interface RecordView {
  record: RecordEntry;
  etag: string;
  /** What was typed, where that is not what the record holds. */
  draft?: Draft;
  errors?: readonly InvalidPart[];
  mayWrite: boolean;
  /** What was done to the record just now. */
  done?: 'added' | 'changed' | undefined;
  journey: JourneyView;
}

/** One record: a form for those who may write. */
export const recordPage = (view: RecordView): string => {
  const { record, etag, draft = record, errors = [], mayWrite, done, journey } = view;
  const content = mayWrite
    ? form({ action: `/caller/records/${record.id}`, draft, hidden: { etag }, submit: 'Save', errors })
    : html`<div class="card"><dl>
<dt>Name</dt><dd>${record.name}</dd>
<dt>Description</dt><dd class="preserved">${record.description}</dd>
<dt>Date</dt><dd><time datetime="${record.date}">${record.date}</time></dd>
</dl><a href="/caller/records">Back to the records</a></div>
`;
  return layout(
    `Record ${record.id}`,
    html`<div class="head"><h1>Record ${record.id}</h1></div>
${done === undefined ? '' : html`<p class="good" role="status">The record was ${done}.</p>\n`}${content}${journeyPanel(journey)}`,
  );
};

export interface ConflictView {
  current: VersionedRecord;
  draft: Draft;
  journey: JourneyView;
}

const shownDate = (date: string): string => localDate(date).replace('T', ' ');
const comparison = (label: string, now: string, typed: string): Html =>
  html`<tr><th scope="row">${label}${now === typed ? '' : html`<span class="aside"> (differs)</span>`}</th><td class="preserved">${now}</td><td class="preserved">${now === typed ? typed : html`<strong>${typed}</strong>`}</td></tr>\n`;

/** The record changed while it was edited: both versions, and the choice. */
export const conflictPage = ({ current: { record, etag }, draft, journey }: ConflictView): string => {
  return layout(
    `Record ${record.id} was changed by somebody else`,
    html`<div class="head"><h1>Record ${record.id} was changed by somebody else</h1></div>
<p class="bad" role="alert">Nothing was saved: the record has changed since you opened it.</p>
<div class="card wide" role="region" aria-labelledby="versions" tabindex="0">
<table>
<caption id="versions">Both versions; what you typed differently is in bold</caption>
<thead><tr><th scope="col">Field</th><th scope="col">As it is now</th><th scope="col">What you typed</th></tr></thead>
<tbody>
${[comparison('Name', record.name, draft.name), comparison('Description', record.description, draft.description), comparison('Date', shownDate(record.date), shownDate(draft.date))]}</tbody>
</table>
</div>
<p><a class="button plain" href="/caller/records/${record.id}">Keep it as it is now</a></p>
<h2>Or save yours in its place</h2>
${form({ action: `/caller/records/${record.id}`, draft, hidden: { etag }, submit: 'Save mine' })}${journeyPanel(journey)}`,
  );
};
