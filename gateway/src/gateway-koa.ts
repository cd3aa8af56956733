import {
  logCompletion,
  logErrors,
  type Logger,
  problemDetails,
  readRequestContext,
  RequestState,
  type ServiceState,
} from '@countersign/service-kit';
import Koa, { type ParameterizedContext } from 'koa';
import type { GatewayMetrics } from './admin/metrics.ts';
import { sortedHeadersOf } from './client-request.ts';
import type { SortedRequestHeaders } from './headers/request-headers.ts';
import type { Forward } from './proxy/forward.ts';
import { ClientGoneError, discardBody } from './proxy/request-body.ts';

type Context = ParameterizedContext<ServiceState>;
type Stack = (ctx: Context) => Promise<void>;

type Handle = (this: Koa<ServiceState>, ctx: Context, stack: Stack) => Promise<void>;

/** Koa's own way of handling a request, which its types leave out. */
const { handleRequest: handleByKoa } = Koa.prototype as unknown as { handleRequest: Handle };

export interface GatewayKoaOptions {
  logger: Logger;
  forward: Forward;
  metrics?: GatewayMetrics | undefined;
}

/** Paths that the gateway answers whatever the route table says, without a line in the log. */
const probes: ReadonlySet<string> = new Set(['/healthz', '/readyz']);

/**
 * Koa for what the gateway answers itself: probes, its page, refusals. What the route table names is streamed past Koa's
 * stack, whose listeners and last look at each answer cost more than all of forwarding.
 */
export class GatewayKoa extends Koa<ServiceState> {
  readonly #options: GatewayKoaOptions;

  constructor(options: GatewayKoaOptions) {
    super();
    this.#options = options;
    logErrors(this, options.logger);
  }

  /** Called by Koa's `callback()` for each request. */
  async handleRequest(ctx: Context, stack: Stack): Promise<void> {
    try {
      await this.#answer(ctx, stack);
    } finally {
      // Whoever has answered, of a body that nobody wanted no more is read than of any other.
      discardBody(ctx.req);
    }
  }

  async #answer(ctx: Context, stack: Stack): Promise<void> {
    const headers = sortedHeadersOf(ctx.req);
    if (probes.has(ctx.req.url as string)) return handleByKoa.call(this, ctx, stack);
    this.#observe(ctx, headers);
    ctx.res.statusCode = 404;
    // Node reads nothing that was sent together with an offer to switch.
    if (headers.upgrade !== undefined) ctx.res.shouldKeepAlive = false;
    let rest = stack;
    try {
      if (await this.#options.forward(ctx, headers)) return;
    } catch (error) {
      // Nobody is left to answer, and nothing went wrong here.
      if (error instanceof ClientGoneError) return;
      rest = async () => {
        throw error;
      };
    }
    ctx.set('X-Request-Id', ctx.state.requestContext.requestId);
    return handleByKoa.call(this, ctx, () => renderProblems(ctx, () => rest(ctx)));
  }

  #observe(ctx: Context, headers: SortedRequestHeaders): void {
    const { logger, metrics } = this.#options;
    const state = new RequestState(logger, readRequestContext(headers.stated));
    ctx.state = state;
    ctx.res.on('close', () => {
      const ms = performance.now() - state.startMs;
      metrics?.countRequest(ctx, ms);
      logCompletion(ctx, ms);
    });
  }
}

const renderProblems = problemDetails();
