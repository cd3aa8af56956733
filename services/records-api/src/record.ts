import { z } from 'zod';

/** Ids are given by the store, never again after a record was deleted, and exact in JSON. */
const idSchema = z.int().min(1).meta({ description: 'Given by the API, and never given again.' });

const nameSchema = z
  .string()
  .regex(/^[^\p{Cc}\p{Cs}]{1,200}$/u, 'must be 1 to 200 characters without control characters')
  .meta({ description: '1 to 200 characters.' });

const descriptionSchema = z
  .string()
  .regex(
    /^(?:[\t\n\r]|[^\p{Cc}\p{Cs}]){0,2000}$/u,
    'must be at most 2000 characters without control characters other than tabs and line breaks',
  )
  .meta({ description: 'Up to 2000 characters, with line breaks.' });

/** UTC with milliseconds, as the API writes it. To look at one is a tenth of the work of a `Date`, of which an import has many. */
const utc = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

/** Years that both databases and ISO 8601 write with four digits. */
const isStorable = (text: string): boolean => {
  if (utc.test(text)) return !text.startsWith('0000');
  const year = new Date(text).getUTCFullYear();
  return year >= 1 && year <= 9_999;
};

const toUtc = (text: string): string => (utc.test(text) ? text : new Date(text).toISOString());

/** A date-time with any offset; what comes out is UTC with milliseconds. */
const dateInput = z.iso
  .datetime({ offset: true, abort: true, error: 'must be a date-time such as 2026-01-31T08:00:00Z' })
  .refine(isStorable, { error: 'must be in the years 1 to 9999', abort: true })
  .overwrite(toUtc)
  .meta({ description: 'Kept in UTC, to the millisecond.' });

/**
 * What a client may set. Others may not be there: a misspelt member would be lost without a word. Of one that is there twice
 * the last counts, as RFC 8259 §4 says of most software.
 */
export const recordFields = z.strictObject({
  name: nameSchema,
  description: descriptionSchema,
  date: dateInput,
});

/** The same with the id, which has to be that of the record: so that what was read can be sent back. */
export const recordReplacement = recordFields.extend({ id: idSchema.optional() });

/** A line of an import. Its id is not looked at, so that an export can be imported. */
export const recordLine = recordReplacement;

/** A merge patch (RFC 7396): what is there is changed. */
export const recordPatch = recordReplacement.partial();

/** One record as the API gives it. */
export const recordSchema = z.strictObject({
  id: idSchema,
  name: nameSchema,
  description: descriptionSchema,
  date: z.iso.datetime({ precision: 3 }),
});

/** Where a list goes on: behind this record. */
export const positionSchema = z.strictObject({
  id: idSchema,
  date: z.iso.datetime({ precision: 3 }).refine(isStorable),
});

/** Where a history goes on: behind this version, which is an integer of 32 bits in PostgreSQL. */
export const versionSchema = z.int().min(1).max(2_147_483_647);

/** One write of a record. */
export const changeSchema = z.strictObject({
  version: z.int().min(1).meta({ description: 'The ETag that the record got, without its quotes.' }),
  action: z.enum(['created', 'changed', 'deleted']),
  at: z.iso.datetime({ precision: 3 }),
  azp: z.string().meta({ description: 'Client id of the application that wrote.' }),
  oid: z.string().meta({ description: 'Object id of its service principal.' }),
  tid: z.string().meta({ description: 'Its tenant.' }),
  uti: z.string().meta({ description: 'Names the token in the sign-in log of Entra.' }),
  requestId: z.string(),
});

export type RecordFields = z.output<typeof recordFields>;
export type RecordEntry = z.output<typeof recordSchema>;
export type RecordChange = z.output<typeof changeSchema>;

const filterDate = z.union([z.iso.date(), z.iso.datetime({ offset: true })], {
  error: 'must be a date such as 2026-01-31 or a date-time such as 2026-01-31T08:00:00Z',
});

const storableDate = (field: string) =>
  filterDate
    .refine(isStorable, 'must be in the years 1 to 9999')
    .meta({ description: `Records ${field}; a date stands for its whole day, in UTC.` });

/** The parameters that choose records. */
export const filterParameters = z.strictObject({
  name: nameSchema.optional().meta({ description: 'Records of exactly this name.' }),
  from: storableDate('of this moment or later').optional(),
  to: storableDate('of this moment or earlier').optional(),
});

/** Which records. Both ends of the dates are inclusive. */
export interface RecordFilter {
  name?: string;
  from?: string;
  to?: string;
}

export const toFilter = ({ name, from, to }: z.output<typeof filterParameters>): RecordFilter => ({
  ...(name !== undefined && { name }),
  ...(from !== undefined && { from: new Date(from).toISOString() }),
  ...(to !== undefined && { to: new Date(to.includes('T') ? to : `${to}T23:59:59.999Z`).toISOString() }),
});
