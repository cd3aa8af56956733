import type { Logger } from '@countersign/service-kit';

/** A connection that broke, or bytes that are no HTTP: the client's doing, and not worth an alarm. */
const isClientFault = (error: unknown): boolean => {
  const { code } = Object(error) as { code?: unknown };
  return typeof code === 'string' && (code.startsWith('HPE_') || code === 'ECONNRESET' || code === 'EPIPE');
};

/** What Koa reports once an answer cannot be given any more. */
export const logStackErrors =
  (logger: Logger) =>
  (error: unknown): void => {
    if (isClientFault(error)) logger.debug({ err: error }, 'a client broke off');
    else logger.error({ err: error }, 'answering failed');
  };
