import type { ServiceState } from '@countersign/service-kit';
import { Router } from '@koa/router';
import { sendRecordsPage } from './page.ts';
import type { FetchRecords } from './records-client.ts';

/** `/caller/records`: a page for a person, JSON for a program, by the `Accept` header. */
export const recordsRouter = (fetchRecords: FetchRecords): Router<ServiceState> => {
  const router = new Router<ServiceState>({ prefix: '/caller/records' });
  router.get('/', async (ctx) => {
    const { requestContext, logFields } = ctx.state;
    const call = await fetchRecords(requestContext);
    Object.assign(logFields, {
      token_from_cache: call.tokenFromCache,
      token_duration_ms: Math.round(call.tokenDurationMs * 1000) / 1000,
      ...(call.attempts > 1 && { attempts: call.attempts }),
      records_api_duration_ms: Math.round(call.callDurationMs * 1000) / 1000,
    });
    ctx.vary('Accept');
    if (ctx.accepts('json', 'html') === 'html') {
      sendRecordsPage(ctx, call, requestContext.requestId);
      return;
    }
    ctx.set('Cache-Control', 'no-store');
    ctx.body = call.records;
  });
  return router;
};
