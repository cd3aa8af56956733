import { ProblemError } from '@countersign/service-kit';
import type { Router } from '@koa/router';
import { readCursor, writeCursor } from './cursor.ts';
import { importBody } from './import-body.ts';
import { findErrors, type LineError, validPages } from './import-lines.ts';
import { readLines, streamOf } from './ndjson.ts';
import { exportParameters, readQuery, withoutQuery } from './query.ts';
import { positionSchema, type RecordEntry, type RecordFilter, toFilter } from './record.ts';
import type { RecordStore } from './record-store.ts';
import { createFingerprint, maxBodyBytes, requireMediaType } from './request-body.ts';
import { type RecordsState, idempotencyKeyOf, writerOf } from './writer.ts';

export const ndjson = 'application/x-ndjson';

/** Records that are read at once, and from one checkpoint to the next: what is read waits in memory to be sent. */
const exportPageSize = 1_000;

/** An import may hold a connection to the database for as long as its client likes. */
export const maxImports = 2;

/** What an import may wait for, in milliseconds. */
export interface ImportPace {
  /** For the client to send something. */
  idleMs: number;
  /** For a page to be full. With the one above, less than PostgreSQL lets a transaction idle. */
  pageMs: number;
}

const importPace: ImportPace = { idleMs: 30_000, pageMs: 10_000 };

/** Adds the routes of export and import. */
export const transfers = (
  store: RecordStore,
  { idleMs, pageMs }: ImportPace = importPace,
): ((router: Router<RecordsState>) => void) => {
  let imports = 0;

  async function* exportPages(
    first: string,
    filter: RecordFilter,
    checkpoints: boolean,
  ): AsyncGenerator<string> {
    const scope = JSON.stringify(filter);
    let lines = first;
    while (lines !== '') {
      const { id, date } = lastRecord(lines);
      // Read while this page is sent. What goes wrong is looked at when it is the next one's turn.
      const next = store.export(filter, exportPageSize, { id, date });
      next.catch(() => undefined);
      yield checkpoints ? `${lines}${JSON.stringify({ cursor: writeCursor(scope, { id, date }) })}\n` : lines;
      lines = await next;
    }
  }

  return (router) => {
    router.get('/export', async (ctx) => {
      const { cursor, checkpoints, ...parameters } = readQuery(ctx, exportParameters);
      const filter = toFilter(parameters);
      const after =
        cursor === undefined ? undefined : readCursor(JSON.stringify(filter), positionSchema, cursor);
      // Before the head of the answer: a storage that is down is a 503 and no broken stream.
      const first = await store.export(filter, exportPageSize, after);
      ctx.set('Cache-Control', 'no-store');
      ctx.type = ndjson;
      const stream = streamOf(exportPages(first, filter, checkpoints === 'true'));
      // What breaks off must not look whole.
      stream.once('error', () => ctx.res.destroy());
      ctx.body = stream;
    });

    router.post('/import', withoutQuery, async (ctx) => {
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
      const lines = readLines(importBody(ctx.req, idleMs, fingerprint.add), maxBodyBytes);
      const errors: LineError[] = [];
      imports += 1;
      try {
        const pages = validPages(lines, errors, pageMs);
        const { answer, isReplay } = await store.import(pages, writerOf(ctx), once);
        if (isReplay) ctx.set('Idempotency-Replayed', 'true');
        ctx.set('Cache-Control', 'no-store');
        ctx.body = { imported: answer };
      } catch (error) {
        // By now the transaction has ended: the lines behind a wrong one may take their time.
        throw errors.length > 0 ? await findErrors(lines, errors) : error;
      } finally {
        imports -= 1;
      }
    });
  };
};

const lastRecord = (lines: string): RecordEntry =>
  JSON.parse(lines.slice(lines.lastIndexOf('\n', lines.length - 2) + 1)) as RecordEntry;
