import { isDeepStrictEqual } from 'node:util';
import { withoutHeaders } from '../headers/header-lists.ts';
import { securityHeadersOfPages } from '../headers/page-headers.ts';
import { type CountRequest, createRateLimit, type RateLimitStoreOptions } from '../limits/rate-limit.ts';
import type { Route } from '../routes/route-schema.ts';
import type { RouteTable } from '../routes/route-table.ts';
import { createUpstream, type Upstream, type UpstreamDependencies } from '../upstream/upstream.ts';
import { corsHeaderNames } from './cors.ts';

/** A route with all that can be worked out before a request comes. */
export interface PreparedRoute {
  route: Route;
  upstream: Upstream;
  countRequest: CountRequest | undefined;
  /** The path for the upstream. */
  rewrite: (path: string) => string;
  /** Set on the upstream's request. */
  setHeaders: readonly string[];
  /** Lower-case names of the client's headers that do not go on. */
  dropHeaders: ReadonlySet<string>;
  /** Added to the answer. */
  addedHeaders: readonly string[];
  /** Lower-case names of headers that the answer loses. */
  strippedHeaders: ReadonlySet<string>;
}

/** A route table in force, with its upstreams. */
export interface ActiveTable {
  match(path: string): PreparedRoute | undefined;
  routes: readonly PreparedRoute[];
  upstreams: ReadonlyMap<string, Upstream>;
  /** Closes its upstreams once their requests in flight are over; not those with which `next` goes on. */
  close(next?: ActiveTable): Promise<void>;
}

export interface ActiveTableOptions {
  table: RouteTable;
  /** The table that was in force. Upstreams and rate limits whose settings have not changed go on as they are. */
  previous?: ActiveTable | undefined;
  upstreams: UpstreamDependencies;
  rateLimits: RateLimitStoreOptions;
}

const rememberedPaths = 1_000;

/** Makes a table's upstreams, and resolves once their names are. */
export const activateTable = async ({
  table,
  previous,
  upstreams: dependencies,
  rateLimits,
}: ActiveTableOptions): Promise<ActiveTable> => {
  const upstreams = new Map(
    [...table.upstreams.values()].map((located) => {
      const before = previous?.upstreams.get(located.name);
      const unchanged = before && isDeepStrictEqual(before.settings, located);
      return [located.name, unchanged ? before : createUpstream(located, dependencies)];
    }),
  );
  const preparedBefore = new Map(previous?.routes.map((prepared) => [prepared.route.path, prepared]));
  const countRequestOf = (route: Route): CountRequest | undefined => {
    const before = preparedBefore.get(route.path);
    if (before && isDeepStrictEqual(before.route.rateLimit, route.rateLimit)) return before.countRequest;
    return route.rateLimit && createRateLimit(route, rateLimits);
  };
  const prepared = new Map(
    table.routes.map((route) => {
      const upstream = upstreams.get(route.upstream);
      if (!upstream) throw new Error(`route ${route.path} has no upstream`);
      return [route, prepare(route, upstream, countRequestOf(route))];
    }),
  );
  await Promise.all([...upstreams.values()].map((upstream) => upstream.ready()));
  let known = new Map<string, PreparedRoute>();
  return {
    routes: [...prepared.values()],
    upstreams,
    match(path) {
      const found = known.get(path);
      if (found !== undefined) return found;
      const route = table.match(path);
      const match = route && prepared.get(route);
      // Clients can make up paths without end; those that come again are soon known again.
      if (known.size >= rememberedPaths) known = new Map();
      if (match && path.length <= 200) known.set(path, match);
      return match;
    },
    async close(next) {
      const left = [...upstreams.values()].filter(
        (upstream) => next?.upstreams.get(upstream.name) !== upstream,
      );
      await Promise.all(left.map((upstream) => upstream.close()));
    },
  };
};

const prepare = (route: Route, upstream: Upstream, countRequest: CountRequest | undefined): PreparedRoute => {
  const { requestHeaders, responseHeaders, rewrite } = route;
  const set = Object.entries(responseHeaders.set).flat();
  const ownSay = new Set([...Object.keys(responseHeaders.set), ...responseHeaders.strip]);
  const addedHeaders = [...(route.page ? withoutHeaders(securityHeadersOfPages, ownSay) : []), ...set];
  const replaced = addedHeaders.filter((_, index) => index % 2 === 0).map((name) => name.toLowerCase());
  return {
    route,
    upstream,
    countRequest,
    rewrite: rewrite === undefined ? (path) => path : rewriter(route.path, rewrite),
    setHeaders: Object.entries(requestHeaders.set).flat(),
    dropHeaders: new Set([...requestHeaders.strip, ...Object.keys(requestHeaders.set)]),
    addedHeaders,
    strippedHeaders: new Set([...responseHeaders.strip, ...replaced, ...(route.cors ? corsHeaderNames : [])]),
  };
};

/** Replaces as many segments as the route's path has. */
const rewriter = (routePath: string, prefix: string): ((path: string) => string) => {
  const count = routePath === '/' ? 0 : routePath.split('/').length - 1;
  const start = prefix.replace(/\/$/, '');
  return (path) => {
    const rest = path.split('/').slice(1 + count);
    return `${start}${rest.length > 0 ? `/${rest.join('/')}` : ''}` || '/';
  };
};
