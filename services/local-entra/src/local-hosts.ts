import { isIPv4 } from 'node:net';
import { ProblemError } from '@countersign/service-kit';
import type { Middleware } from 'koa';

/** Where Azure has the instance metadata service. */
const metadataAddress = '169.254.169.254';
const unspecified: ReadonlySet<string> = new Set(['0.0.0.0', '::']);

/** `localhost:80` → `localhost`, `[::1]:80` → `::1`; undefined for what is no host. */
const hostnameOf = (host: string): string | undefined => {
  const [, address, name] = /^(?:\[([\da-f:.]+)\]|([\w.-]+))(?::\d{1,5})?$/i.exec(host) ?? [];
  return (address ?? name)?.toLowerCase().replace(/\.$/, '');
};

const isLoopback = (name: string): boolean =>
  name === 'localhost' ||
  name.endsWith('.localhost') ||
  name === '::1' ||
  (isIPv4(name) && name.startsWith('127.'));

/**
 * Refuses requests for a host that is not this machine's: a page in a browser can have its own name point here (DNS
 * rebinding), and then read the answers.
 *
 * @param allowed names beside the loopback ones: the address that is listened on, and those that are configured.
 */
export const requireLocalHost = (allowed: readonly string[]): Middleware => {
  const names = new Set([metadataAddress, ...allowed.map((name) => name.toLowerCase())]);
  for (const address of unspecified) names.delete(address);
  return function requireLocalHost(ctx, next) {
    const name = hostnameOf(ctx.get('Host'));
    if (name !== undefined && (isLoopback(name) || names.has(name))) return next();
    throw new ProblemError('The Host header names none of the allowed hosts.', {
      status: 403,
      code: 'forbidden_host',
    });
  };
};

/** A page in a browser sends one of these, and programs do not. */
export const refuseBrowsers: Middleware = function refuseBrowsers(ctx, next) {
  const site = ctx.get('Sec-Fetch-Site');
  if (ctx.get('Origin') === '' && (site === '' || site === 'none')) return next();
  throw new ProblemError('This port answers programs, not pages.', { status: 403, code: 'forbidden' });
};

/** What a proxy passes on is not from this machine: Azure refuses that, too. */
export const refuseForwarded: Middleware = function refuseForwarded(ctx, next) {
  if (ctx.get('X-Forwarded-For') === '') return next();
  throw new ProblemError('Forwarded requests are not answered.', { status: 403, code: 'forbidden' });
};
