import Koa, { type Middleware } from 'koa';
import type { Logger } from './logger.ts';
import type { ServiceState } from './request-context.ts';

/**
 * A Koa application that says everything in the log and takes requests in origin form alone (RFC 9112 §3.2.1): Koa reads
 * the path of any other one late and badly, and no client of a service sends one.
 */
export const createKoa = (logger: Logger): Koa<ServiceState> => {
  const app = new Koa<ServiceState>();
  logErrors(app, logger);
  app.use(originFormOnly);
  return app;
};

/** Without a listener Koa prints to standard error. */
export const logErrors = (app: Koa<ServiceState>, logger: Logger): void => {
  app.on('error', (error: unknown) => {
    if (isClientFault(error)) logger.debug({ err: error }, 'a client broke off');
    else logger.error({ err: error }, 'answering failed');
  });
};

/** A connection that broke, or bytes that are no HTTP: the client's doing, and not worth an alarm. */
const isClientFault = (error: unknown): boolean => {
  const { code } = Object(error) as { code?: unknown };
  return typeof code === 'string' && (code.startsWith('HPE_') || code === 'ECONNRESET' || code === 'EPIPE');
};

const originFormOnly: Middleware = async function originFormOnly(ctx, next) {
  if (ctx.req.url?.startsWith('/')) {
    await next();
    return;
  }
  const problem = { title: 'Bad Request', status: 400, code: 'invalid_request' };
  ctx.status = 400;
  ctx.type = 'application/problem+json';
  ctx.body = JSON.stringify({ ...problem, detail: 'The request target has to be a path.' });
};
