import { randomUUID } from 'node:crypto';
import { guardRoutes, type InvalidPart, ProblemError } from '@countersign/service-kit';
import type { Principal } from '@countersign/shared-auth';
import { Router } from '@koa/router';
import type { ParameterizedContext } from 'koa';
import type { Access } from './access.ts';
import type { JourneyState } from './journey.ts';
import { journeyView, type JourneyView } from './pages/journey-panel.ts';
import { sendPage } from './pages/layout.ts';
import { conflictPage, newRecordPage, recordPage } from './pages/record-page.ts';
import { recordsPage } from './pages/records-page.ts';
import type { CallContext, RecordsClient, VersionedRecord } from './records-client.ts';
import { isForm, readForm, readJson, type SubmittedForm } from './request-body.ts';

interface RecordsState extends JourneyState {
  principal?: Principal;
}

type Context = ParameterizedContext<RecordsState>;

const home = '/caller/records';

/** `/caller/records`: pages for a person, JSON for a program, by the `Accept` header; forms come from the pages. */
export const recordsRouter = (client: RecordsClient, access: Access): Router<RecordsState> => {
  const router = new Router<RecordsState>({ prefix: home });

  /** What is left to refuse once the guard has let a caller through. */
  const assertMayWrite = (ctx: Context): void => {
    if (access.mayWrite(ctx.state)) return;
    throw new ProblemError('Records can only be read here.', { status: 403, code: 'writes_disabled' });
  };

  router.get('/', async (ctx) => {
    const query = singleValues(ctx);
    const { records, nextCursor } = await client.list(callOf(ctx), query);
    const next =
      nextCursor === undefined
        ? undefined
        : `${home}?${new URLSearchParams({ ...query, cursor: nextCursor }).toString()}`;
    if (wantsPage(ctx)) {
      const mayWrite = access.mayWrite(ctx.state);
      const isFirst = query['cursor'] === undefined;
      sendPage(ctx, recordsPage({ records, next, isFirst, mayWrite, journey: viewOf(ctx) }));
      return;
    }
    if (next !== undefined) ctx.set('Link', `<${next}>; rel="next"`);
    sendJson(ctx, records);
  });

  router.get('/new', (ctx) => {
    assertMayWrite(ctx);
    const draft = { name: '', description: '', date: '' };
    sendPage(ctx, newRecordPage({ draft, idempotencyKey: randomUUID(), journey: viewOf(ctx) }));
  });

  router.get('/:id', async (ctx) => {
    const stored = await client.get(callOf(ctx), idOf(ctx));
    if (!wantsPage(ctx)) {
      sendVersion(ctx, stored);
      return;
    }
    const mayWrite = access.mayWrite(ctx.state);
    const done =
      ctx.query['done'] === 'added' || ctx.query['done'] === 'changed' ? ctx.query['done'] : undefined;
    sendPage(ctx, recordPage({ ...stored, mayWrite, done, journey: viewOf(ctx) }));
  });

  router.post('/', async (ctx) => {
    assertMayWrite(ctx);
    if (isForm(ctx)) {
      await addByForm(ctx, await readForm(ctx));
      return;
    }
    const key = ctx.get('Idempotency-Key') || undefined;
    const stored = await client.create(callOf(ctx), await readJson(ctx), key);
    ctx.status = 201;
    ctx.set('Location', `${home}/${stored.record.id}`);
    if (stored.isReplay) ctx.set('Idempotency-Replayed', 'true');
    sendVersion(ctx, stored);
  });

  /** Forms cannot PUT. */
  router.post('/:id', async (ctx) => {
    assertMayWrite(ctx);
    await changeByForm(ctx, idOf(ctx), await readForm(ctx));
  });

  router.put('/:id', async (ctx) => {
    assertMayWrite(ctx);
    const etag = ctx.get('If-Match') || undefined;
    sendVersion(ctx, await client.replace(callOf(ctx), idOf(ctx), await readJson(ctx), etag));
  });

  const addByForm = async (ctx: Context, { draft, idempotencyKey }: SubmittedForm): Promise<void> => {
    try {
      const { record } = await client.create(callOf(ctx), draft, idempotencyKey);
      seeOther(ctx, `${home}/${record.id}?done=added`);
    } catch (error) {
      const errors = invalidParts(error);
      if (!errors) throw error;
      ctx.status = 422;
      sendPage(ctx, newRecordPage({ draft, idempotencyKey: randomUUID(), errors, journey: viewOf(ctx) }));
    }
  };

  const changeByForm = async (ctx: Context, id: string, { draft, etag }: SubmittedForm): Promise<void> => {
    try {
      await client.replace(callOf(ctx), id, draft, etag);
      seeOther(ctx, `${home}/${id}?done=changed`);
    } catch (error) {
      const errors = invalidParts(error);
      if (errors && etag !== undefined) {
        ctx.status = 422;
        const record = { id: Number(id), ...draft };
        sendPage(ctx, recordPage({ record, etag, errors, mayWrite: true, journey: viewOf(ctx) }));
        return;
      }
      if (!(error instanceof ProblemError) || error.status !== 412) throw error;
      const current = await client.get(callOf(ctx), id);
      ctx.status = 412;
      sendPage(ctx, conflictPage({ current, draft, journey: viewOf(ctx) }));
    }
  };

  guardRoutes(router, access.guard);
  return router;
};

const callOf = ({ state: { requestContext, journey, principal } }: Context): CallContext => ({
  requestContext,
  journey,
  applicationId: principal?.applicationId,
});

const viewOf = ({ state: { requestContext, journey } }: Context): JourneyView =>
  journeyView(journey, requestContext.requestId);

const wantsPage = (ctx: Context): boolean => {
  ctx.vary('Accept');
  return ctx.accepts('json', 'html') === 'html';
};

const sendJson = (ctx: Context, value: unknown): void => {
  ctx.set('Cache-Control', 'no-store');
  ctx.body = value;
};

const sendVersion = (ctx: Context, { record, etag }: VersionedRecord): void => {
  ctx.set('ETag', etag);
  sendJson(ctx, record);
};

/** After a write, so that loading the page again does not write again. */
const seeOther = (ctx: Context, path: string): void => {
  ctx.redirect(path);
  ctx.status = 303;
};

/** Ids are numbers; anything else is the id of no record. */
const idOf = (ctx: Context & { params: Record<string, string> }): string => {
  const { id = '' } = ctx.params;
  if (/^\d{1,16}$/.test(id)) return id;
  throw new ProblemError('There is no such record.', { status: 404, code: 'not_found' });
};

/** The query, which records-api checks. @throws ProblemError (400) for a parameter that stands there twice */
const singleValues = (ctx: Context): Record<string, string> => {
  const entries = Object.entries(ctx.query).map(([name, value]): [string, string] => {
    if (typeof value === 'string') return [name, value];
    throw new ProblemError('The query cannot be used.', {
      status: 400,
      code: 'invalid_request',
      members: { errors: [{ pointer: name, detail: 'stands there more than once' }] },
    });
  });
  return Object.fromEntries(entries);
};

/** What records-api finds wrong with the fields of a record; undefined for other failures. */
const invalidParts = (error: unknown): InvalidPart[] | undefined => {
  if (!(error instanceof ProblemError) || error.status !== 422) return undefined;
  const { errors } = error.members;
  if (!Array.isArray(errors)) return undefined;
  return errors.map((part: unknown) => {
    const { pointer, detail } = Object(part) as Record<string, unknown>;
    return { pointer: String(pointer), detail: String(detail) };
  });
};
