import { randomUUID } from 'node:crypto';
import type { Middleware, ParameterizedContext } from 'koa';
import type { ServiceState } from '@countersign/service-kit';
import type { Clock } from '../clock.ts';
import type { TokenState } from '../token/token-state.ts';
import { StsError } from './sts-error.ts';

const guidPattern = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** The client's own id for its request, from header, query or form, or a new one. */
const correlationIdOf = (ctx: ParameterizedContext<Partial<TokenState>>): string => {
  const name = 'client-request-id';
  const given = ctx.get(name) || ctx.query[name] || ctx.state.parameters?.get(name);
  return typeof given === 'string' && guidPattern.test(given) ? given.toLowerCase() : randomUUID();
};

/** `2026-08-13 21:24:29Z` */
const timestampOf = (nowMs: number): string => new Date(nowMs).toISOString().replace(/T(.*)\.\d+Z$/, ' $1Z');

const bodyOf = (error: StsError, traceId: string, correlationId: string, nowMs: number): object => {
  const { number, error: code, errorPage } = error.row;
  const timestamp = timestampOf(nowMs);
  return {
    error: code,
    error_description: `AADSTS${number}: ${error.message} Trace ID: ${traceId} Correlation ID: ${correlationId} Timestamp: ${timestamp}`,
    error_codes: [number],
    timestamp,
    trace_id: traceId,
    correlation_id: correlationId,
    ...(errorPage && { error_uri: `https://login.microsoftonline.com/error?code=${number}` }),
  };
};

/** Sets the headers that each answer of Entra's has, and renders refusals as Entra does. */
export const renderStsErrors = (clock: Clock): Middleware<ServiceState> =>
  async function renderStsErrors(ctx, next) {
    const traceId = randomUUID();
    ctx.set('X-Content-Type-Options', 'nosniff');
    ctx.set('x-ms-request-id', traceId);
    const isToken = ctx.path.endsWith('/token');
    if (isToken) ctx.set({ 'x-ms-ests-server': 'local-entra', 'x-ms-clitelem': '1,0,0,,' });
    if (ctx.get('return-client-request-id') === 'true') ctx.set('client-request-id', correlationIdOf(ctx));
    try {
      await next();
    } catch (error) {
      if (!(error instanceof StsError)) throw error;
      const { row, reason, detail } = error;
      Object.assign(ctx.state.logFields, {
        'error.type': row.error,
        aadsts: row.number,
        reason,
        ...(detail !== undefined && { detail }),
      });
      ctx.status = row.status;
      if (isToken) ctx.set('x-ms-clitelem', `1,${row.number},0,,`);
      ctx.set('Cache-Control', 'no-store, no-cache');
      ctx.body = bodyOf(error, traceId, correlationIdOf(ctx), clock());
    }
  };
