import { guardRoutes, ProblemError } from '@countersign/service-kit';
import { Router } from '@koa/router';
import type { Middleware, ParameterizedContext } from 'koa';
import type { z } from 'zod';
import { readCursor, writeCursor } from './cursor.ts';
import { invalidRequest, partsOf } from './invalid-request.ts';
import { mergePatch } from './merge-patch.ts';
import { entityTag, isNotModified, requireMatch } from './preconditions.ts';
import { historyParameters, listParameters, readQuery, withoutQuery } from './query.ts';
import {
  positionSchema,
  recordFields,
  type RecordFields,
  recordPatch,
  recordReplacement,
  toFilter,
  versionSchema,
} from './record.ts';
import type { RecordStore, StoredRecord } from './record-store.ts';
import { createFingerprint, readJson } from './request-body.ts';
import { type RecordsState, idempotencyKeyOf, writerOf } from './writer.ts';

type Context = ParameterizedContext<RecordsState>;

const notFound = (): ProblemError =>
  new ProblemError('There is no such record.', { status: 404, code: 'not_found' });

/** The id of a path. Anything that cannot be one is the id of no record. */
const idOf = (ctx: Context & { params: Record<string, string> }): number => {
  const text = ctx.params['id'] ?? '';
  const id = Number(text);
  if (!/^[1-9]\d{0,15}$/.test(text) || !Number.isSafeInteger(id)) throw notFound();
  return id;
};

/** @throws ProblemError (422) with a JSON pointer for each wrong place */
const validate = <Schema extends z.ZodType>(schema: Schema, value: unknown): z.output<Schema> => {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw invalidRequest(422, 'The body is no record.', partsOf(result.error));
};

/** @throws ProblemError (422) when a body has the id of another record */
const withoutId = (
  id: number,
  { id: given, ...fields }: RecordFields & { id?: number | undefined },
): RecordFields => {
  if (given === undefined || given === id) return fields;
  throw invalidRequest(422, 'The id of a record cannot be changed.', [
    { pointer: '/id', detail: `must be ${id}, as in the path` },
  ]);
};

const answerWith = (ctx: Context, stored: StoredRecord): void => {
  ctx.set('ETag', entityTag(stored));
  ctx.set('Cache-Control', 'private, no-cache');
  ctx.body = stored.record;
};

/** Names the page that comes next by a path, which is good at any address (RFC 8288). */
const linkNext = (ctx: Context, cursor: string): void => {
  const query = new URLSearchParams(ctx.querystring);
  query.set('cursor', cursor);
  ctx.set('Link', `<${ctx.path}?${query.toString()}>; rel="next"`);
};

/**
 * `/api/records`, in any case.
 *
 * @param guard what every request of a route has to pass.
 */
export const recordsRouter = (
  store: RecordStore,
  guard: Middleware | undefined,
  transfers: (router: Router<RecordsState>) => void,
): Router<RecordsState> => {
  const router = new Router<RecordsState>({ prefix: '/api/records' });
  transfers(router);

  router.get('/', async (ctx) => {
    const { limit, cursor, ...parameters } = readQuery(ctx, listParameters);
    const filter = toFilter(parameters);
    const scope = JSON.stringify(filter);
    const after = cursor === undefined ? undefined : readCursor(scope, positionSchema, cursor);
    // One more than asked for says whether there is a next page.
    const found = await store.list(filter, limit + 1, after);
    const records = found.slice(0, limit);
    const last = records.at(-1);
    if (last && found.length > limit) linkNext(ctx, writeCursor(scope, { id: last.id, date: last.date }));
    ctx.set('Cache-Control', 'no-store');
    ctx.body = records;
  });

  router.post('/', withoutQuery, async (ctx) => {
    const { value, bytes } = await readJson(ctx, 'application/json');
    const fields = validate(recordFields, value);
    const fingerprint = createFingerprint(ctx);
    fingerprint.add(bytes);
    const once = idempotencyKeyOf(ctx, fingerprint.read);
    const { answer, isReplay } = await store.create(fields, writerOf(ctx), once);
    ctx.status = 201;
    ctx.set('Location', `/api/records/${answer.record.id}`);
    if (isReplay) ctx.set('Idempotency-Replayed', 'true');
    answerWith(ctx, answer);
  });

  router.get('/:id', withoutQuery, async (ctx) => {
    const stored = await store.get(idOf(ctx));
    if (!stored) throw notFound();
    answerWith(ctx, stored);
    if (isNotModified(ctx, stored)) ctx.status = 304;
  });

  router.put('/:id', withoutQuery, async (ctx) => {
    const id = idOf(ctx);
    const assertMatch = requireMatch(ctx);
    const { value } = await readJson(ctx, 'application/json');
    const fields = withoutId(id, validate(recordReplacement, value));
    const stored = await store.change(id, writerOf(ctx), (current) => {
      assertMatch(current);
      return fields;
    });
    if (!stored) throw notFound();
    answerWith(ctx, stored);
  });

  router.patch('/:id', withoutQuery, async (ctx) => {
    const id = idOf(ctx);
    const assertMatch = requireMatch(ctx);
    const { value } = await readJson(ctx, 'application/merge-patch+json');
    const patch = typeof value === 'object' && value !== null && !Array.isArray(value) ? value : undefined;
    // A patch that is no object takes the place of the whole record, and is none.
    if (!patch) validate(recordPatch, value);
    const stored = await store.change(id, writerOf(ctx), (current) => {
      assertMatch(current);
      const merged = mergePatch({ ...current.record }, { ...patch });
      return withoutId(id, validate(recordReplacement.required(), merged));
    });
    if (!stored) throw notFound();
    answerWith(ctx, stored);
  });

  router.delete('/:id', withoutQuery, async (ctx) => {
    if (!(await store.remove(idOf(ctx), writerOf(ctx), requireMatch(ctx)))) throw notFound();
    ctx.status = 204;
  });

  router.get('/:id/history', async (ctx) => {
    const id = idOf(ctx);
    const { limit, cursor } = readQuery(ctx, historyParameters);
    const scope = `history ${id}`;
    const after = cursor === undefined ? 0 : readCursor(scope, versionSchema, cursor);
    const found = await store.history(id, limit + 1, after);
    // The sample records have no writer, and no history as long as nobody writes them.
    if (found.length === 0 && !(await store.get(id))) throw notFound();
    const changes = found.slice(0, limit);
    if (found.length > limit) linkNext(ctx, writeCursor(scope, changes.at(-1)?.version));
    ctx.set('Cache-Control', 'no-store');
    ctx.body = changes;
  });

  guardRoutes(router, guard as Middleware<RecordsState> | undefined);
  return router;
};
