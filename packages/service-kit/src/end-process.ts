/** How long whatever still holds the process may do so, in milliseconds. */
const mostMs = 1_000;

/**
 * Ends the process once nothing holds it, or by force. Not by `process.exit` at once: that joins V8's compiler threads, and
 * one that waits for a collection, which only the joining thread could do, waits for ever (nodejs/node#54918). After a second
 * of rest none compiles. A code that was set before stays: a failure is no success because it is followed by an orderly end.
 * An error that nobody caught ends a service at once nevertheless: it must not serve on.
 */
export const endProcess = (code: number): void => {
  process.exitCode ??= code;
  process.channel?.unref();
  setTimeout(() => process.exit(), mostMs).unref();
};
