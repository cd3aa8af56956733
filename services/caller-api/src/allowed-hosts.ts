import { ProblemError } from '@countersign/service-kit';
import type { Middleware } from 'koa';

const loopback = ['localhost', '127.0.0.1', '[::1]'];

/** `Localhost:80` → `localhost`, `[::1]` → `[::1]`; undefined for what is no host. */
const nameOf = (host: string): string | undefined =>
  /^[\w.:[\]-]+$/.test(host) && URL.canParse(`http://${host}`)
    ? new URL(`http://${host}`).hostname
    : undefined;

/**
 * Refuses requests for other hosts than these and the loopback ones: a page in a browser can have its own name point here
 * (DNS rebinding), and is then of the same origin.
 *
 * @param names without ports
 */
export const allowedHosts = (names: readonly string[]): Middleware => {
  const allowed = new Set([...loopback, ...names.map((name) => name.toLowerCase())]);
  const isAllowed = (host: string): boolean => allowed.has(nameOf(host.trim()) ?? '');
  return async function allowedHosts(ctx, next) {
    // What the gateway was asked for, and this service itself: such a page can set the first, and not the second.
    const forwarded = ctx.get('X-Forwarded-Host');
    const hosts = [ctx.get('Host'), ...(forwarded === '' ? [] : forwarded.split(','))];
    if (!hosts.every(isAllowed)) {
      throw new ProblemError(
        'This service is not called by this name: ALLOWED_HOSTS has those that it takes.',
        {
          status: 403,
          code: 'forbidden_host',
        },
      );
    }
    await next();
  };
};
