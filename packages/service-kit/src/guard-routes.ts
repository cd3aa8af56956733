/** What is used of a router of @koa/router. */
interface Routes<Middleware> {
  stack: { stack: Middleware[] }[];
}

/**
 * Makes a guard the first of each route's own middleware, so that what it refuses is logged with the route. Call it once all
 * routes are there: one that came later would stand open, and throws instead.
 *
 * Not by `router.use`: under a prefix that compares letter case, and routes do not, so that `/API/records` goes past it.
 */
export const guardRoutes = <Middleware>(
  router: Routes<Middleware>,
  guard: NoInfer<Middleware> | undefined,
): void => {
  if (guard !== undefined) for (const route of router.stack) route.stack.unshift(guard);
  Object.freeze(router.stack);
};
