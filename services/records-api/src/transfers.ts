import type { IncomingMessage } from 'node:http';
import { type InvalidPart, ProblemError } from '@countersign/service-kit';
import type { Router } from '@koa/router';
import { readCursor, writeCursor } from './cursor.ts';
import { invalidRequest, maxErrors, partsOf } from './invalid-request.ts';
import { type Line, readLines, streamOf } from './ndjson.ts';
import { exportParameters, readQuery } from './query.ts';
import {
  positionSchema,
  type RecordEntry,
  type RecordFields,
  type RecordFilter,
  recordLine,
  toFilter,
} from './record.ts';
import type { RecordStore } from './record-store.ts';
import { createFingerprint, maxBodyBytes, requireMediaType, tooLarge } from './request-body.ts';
import { type RecordsState, idempotencyKeyOf, writerOf } from './writer.ts';

export const ndjson = 'application/x-ndjson';

/** Records that are written at once. */
const importPageSize = 1_000;

/** Records that are read at once: a page blocks the process on SQLite, and what is read waits in memory to be sent. */
const exportPageSize = 500;

/** Pages of an export from one checkpoint to the next. */
const pagesPerCheckpoint = 2;

/** An import may hold a connection to the database for as long as its client likes. */
const maxImports = 2;

const maxImportBytes = 1024 ** 3;

type LineError = InvalidPart & { line: number };

/** Adds the routes of export and import. */
export const transfers = (store: RecordStore): ((router: Router<RecordsState>) => void) => {
  let imports = 0;

  async function* exportPages(
    first: readonly RecordEntry[],
    filter: RecordFilter,
    checkpoints: boolean,
  ): AsyncGenerator<string> {
    const scope = JSON.stringify(filter);
    let page = first;
    for (let number = 1; page.length > 0; number += 1) {
      const { id, date } = page.at(-1) as RecordEntry;
      const next = page.length < exportPageSize ? [] : await store.list(filter, exportPageSize, { id, date });
      const isCheckpoint = checkpoints && (number % pagesPerCheckpoint === 0 || next.length === 0);
      const cursor = isCheckpoint ? `${JSON.stringify({ cursor: writeCursor(scope, { id, date }) })}\n` : '';
      yield page.map((record) => `${JSON.stringify(record)}\n`).join('') + cursor;
      page = next;
    }
  }

  return (router) => {
    router.get('/export', async (ctx) => {
      const { cursor, checkpoints, ...parameters } = readQuery(ctx, exportParameters);
      const filter = toFilter(parameters);
      const after =
        cursor === undefined ? undefined : readCursor(JSON.stringify(filter), positionSchema, cursor);
      // Before the head of the answer: a storage that is down is a 503 and no broken stream.
      const first = await store.list(filter, exportPageSize, after);
      ctx.set('Cache-Control', 'no-store');
      ctx.type = ndjson;
      const stream = streamOf(exportPages(first, filter, checkpoints === 'true'));
      // What breaks off must not look whole.
      stream.once('error', () => ctx.res.destroy());
      ctx.body = stream;
    });

    router.post('/import', async (ctx) => {
      requireMediaType(ctx, ndjson);
      if (imports >= maxImports) {
        throw new ProblemError('Other imports are running.', {
          status: 503,
          code: 'busy',
          headers: { 'Retry-After': '5' },
        });
      }
      const fingerprint = createFingerprint(ctx);
      const once = idempotencyKeyOf(ctx, fingerprint.read);
      imports += 1;
      try {
        const lines = readLines(bounded(ctx.req, fingerprint.add), maxBodyBytes);
        const { answer, isReplay } = await store.import(validPages(lines), writerOf(ctx), once);
        if (isReplay) ctx.set('Idempotency-Replayed', 'true');
        ctx.set('Cache-Control', 'no-store');
        ctx.body = { imported: answer };
      } finally {
        imports -= 1;
      }
    });
  };
};

async function* bounded(
  request: IncomingMessage,
  onBytes: (bytes: Uint8Array) => void,
): AsyncGenerator<Buffer> {
  let bytes = 0;
  // Destroyed, the request would take along the connection that a refusal is answered on.
  const chunks = request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>;
  try {
    for await (const chunk of chunks) {
      bytes += chunk.length;
      if (bytes > maxImportBytes) throw tooLarge('1 GiB');
      onBytes(chunk);
      yield chunk;
    }
  } catch (error) {
    if (!request.errored) throw error;
    throw new ProblemError('The body broke off.', { status: 400, code: 'invalid_request', cause: error });
  }
}

/**
 * Pages of records for as long as every line is one. All other lines are looked at as well.
 *
 * @throws ProblemError (422) in the end that names the lines that are none
 */
async function* validPages(source: AsyncIterable<Line[]>): AsyncGenerator<RecordFields[]> {
  const errors: LineError[] = [];
  let page: RecordFields[] = [];
  for await (const lines of source) {
    for (const line of lines) {
      const record = readRecord(line, errors);
      if (record) page.push(record);
    }
    if (errors.length >= maxErrors) break;
    if (page.length >= importPageSize) {
      if (errors.length === 0) yield page;
      page = [];
    }
  }
  if (errors.length > 0)
    throw invalidRequest(422, 'Nothing was imported: some lines are no records.', errors);
  if (page.length > 0) yield page;
}

const readRecord = ({ number: line, text }: Line, errors: LineError[]): RecordFields | undefined => {
  if (text === undefined) {
    errors.push({ line, pointer: '', detail: 'is no UTF-8, or longer than 64 KiB' });
    return undefined;
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    errors.push({ line, pointer: '', detail: 'is no JSON' });
    return undefined;
  }
  const result = recordLine.safeParse(value);
  if (result.success) return result.data;
  errors.push(...partsOf(result.error).map((part) => ({ line, ...part })));
  return undefined;
};
