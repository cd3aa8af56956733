import { ProblemError } from '@countersign/service-kit';
import type { Middleware, ParameterizedContext } from 'koa';

const safeMethods = new Set(['GET', 'HEAD', 'OPTIONS']);
/** What a form of any site can send without asking first (Fetch, CORS-safelisted request-header). */
const formTypes = new Set(['application/x-www-form-urlencoded', 'multipart/form-data', 'text/plain']);

/**
 * Refuses writes that a page of another site makes a browser send (CSRF). Browsers say by `Sec-Fetch-Site` where a request
 * comes from, and where they do not (plain HTTP beyond this machine), by `Origin`; no page can set either. Programs send
 * neither: theirs has to be of a type that no form has.
 */
export const sameOriginWrites: Middleware = async function sameOriginWrites(ctx, next) {
  if (!safeMethods.has(ctx.method) && !isOwn(ctx)) {
    throw new ProblemError('Writes from pages of other sites are refused.', {
      status: 403,
      code: 'cross_site_request',
      logFields: { sec_fetch_site: ctx.get('Sec-Fetch-Site').slice(0, 20) || undefined },
    });
  }
  await next();
};

const isOwn = (ctx: ParameterizedContext): boolean => {
  const site = ctx.get('Sec-Fetch-Site');
  if (site !== '') return site === 'same-origin';
  const origin = ctx.get('Origin');
  if (origin !== '') return URL.canParse(origin) && hostsOf(ctx).includes(new URL(origin).host);
  return ctx.request.type !== '' && !formTypes.has(ctx.request.type.toLowerCase());
};

/** By what name the browser knows this service. A page of another site cannot set X-Forwarded-Host in what it submits. */
const hostsOf = (ctx: ParameterizedContext): string[] => [
  ctx.get('Host').toLowerCase(),
  ctx.get('X-Forwarded-Host').toLowerCase(),
];
