import type { ServiceState } from '@countersign/service-kit';
import { Router } from '@koa/router';
import type { RecordStore } from './record-store.ts';

/** `/api/records`, in any case. */
export const recordsRouter = (store: RecordStore): Router<ServiceState> => {
  const router = new Router<ServiceState>({ prefix: '/api/records' });
  router.get('/', async (ctx) => {
    ctx.set('Cache-Control', 'no-store');
    ctx.body = await store.list();
  });
  return router;
};
