import { channel } from 'node:diagnostics_channel';
import type { ParameterizedContext } from 'koa';
import { type Logger, withoutTokens } from './logger.ts';
import type { ServiceState } from './request-context.ts';

/** A request that is over. */
export interface CompletedRequest {
  ctx: ParameterizedContext<ServiceState>;
  /** How long it took. */
  ms: number;
}

/** A service starts. */
export interface StartingService {
  name: string;
  version: string;
  /** For what is not about one request. */
  logger: Logger;
}

/** A service has served its last request, and waits for what is still to be sent. */
export interface StoppingService {
  waitFor: (work: Promise<unknown>) => void;
}

/** Where requests that are over are told of, as {@link CompletedRequest}. */
export const completions = channel('countersign.request.completed');
/** As {@link StartingService}. */
export const starts = channel('countersign.service.starting');
/** As {@link StoppingService}. */
export const stops = channel('countersign.service.stopping');

/** A route of @koa/router; what only goes before routes has no methods. */
interface RouterLayer {
  path: unknown;
  methods: readonly string[];
}

/** The pattern that a request's path matched. */
export const routeOf = (ctx: ParameterizedContext<ServiceState>): string | undefined => {
  const stated = ctx.state.logFields['http.route'];
  if (typeof stated === 'string') return stated;
  // Not _matchedRoute, which is that of what goes before a route as long as it is at work.
  const { matched } = ctx as { matched?: readonly RouterLayer[] };
  const path = matched?.findLast(({ methods }) => methods.includes(ctx.method))?.path;
  return typeof path === 'string' ? path : undefined;
};

/** The status of the answer; undefined when the client left before its head. */
export const statusOf = ({ res, state }: ParameterizedContext<ServiceState>): number | undefined =>
  (state.logFields['http.response.status_code'] as number | undefined) ??
  (res.headersSent ? res.statusCode : undefined);

/** The path as it may be told: the one that the stack put into `logFields`, else that of the request. */
export const pathOf = ({ req, state }: ParameterizedContext<ServiceState>): string => {
  const stated = state.logFields['url.path'];
  return typeof stated === 'string' ? stated : loggedPath(req.url as string);
};

/** The path without its query, bounded. People paste tokens where ids belong. */
const loggedPath = (url: string): string => {
  const queryAt = url.indexOf('?');
  const path = (queryAt === -1 ? url : url.slice(0, queryAt)).slice(0, 1_024);
  return path.includes('eyJ') ? withoutTokens(path) : path;
};
