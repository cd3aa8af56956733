import type { ServiceState } from '@countersign/service-kit';
import { Router } from '@koa/router';
import type { Middleware } from 'koa';
import type { RecordStore } from './record-store.ts';

/**
 * `/api/records`, in any case.
 *
 * @param guards what every request of a route has to pass, in order.
 */
export const recordsRouter = (store: RecordStore, guards: readonly Middleware[]): Router<ServiceState> => {
  const router = new Router<ServiceState>({ prefix: '/api/records' });
  // On the router and not before it: what is refused is logged with its route.
  for (const guard of guards) router.use(guard as Middleware<ServiceState>);
  router.get('/', async (ctx) => {
    ctx.set('Cache-Control', 'no-store');
    ctx.body = await store.list();
  });
  return router;
};
