import { once } from 'node:events';
import { setTimeout } from 'node:timers/promises';
import type { Middleware, ParameterizedContext } from 'koa';
import type { ServiceState } from '@countersign/service-kit';
import type { Fault, FaultEndpoint, Faults } from './faults.ts';

const endpointPatterns: readonly [RegExp, FaultEndpoint][] = [
  [/^\/[^/]+\/oauth2(\/v2\.0)?\/token$/, 'token'],
  [/\/\.well-known\/openid-configuration$/, 'discovery'],
  [/^\/[^/]+\/discovery(\/v2\.0)?\/keys$/, 'keys'],
  [/^\/common\/discovery\/instance$/, 'instance'],
  [/^\/(v1\.0|beta)\//, 'graph'],
  [/^\/(metadata\/identity|msi)\//, 'managed-identity'],
];

const endpointOf = (path: string): FaultEndpoint =>
  endpointPatterns.find(([pattern]) => pattern.test(path))?.[1] ?? 'any';

/** Waits, but not for a client that has gone. */
const wait = async (ctx: ParameterizedContext, latencyMs: number): Promise<void> => {
  const settled = new AbortController();
  const { signal } = settled;
  const timer = setTimeout(latencyMs, undefined, { signal });
  const gone = once(ctx.res, 'close', { signal });
  await Promise.race([timer, gone]).finally(() => settled.abort());
  // The loser of the race ends by the abort.
  await Promise.allSettled([timer, gone]);
};

const stsBody = (status: number): object => {
  const [number, error, text] =
    status === 429
      ? [
          90055,
          'temporarily_unavailable',
          'Tenant is throttled because it exceeded the allowed number of requests.',
        ]
      : [90033, 'temporarily_unavailable', 'A transient error has occurred. Please try again.'];
  return { error, error_description: `AADSTS${number}: ${text}`, error_codes: [number] };
};

const graphBody = (status: number): object => ({
  error: {
    code: status === 429 ? 'TooManyRequests' : 'ServiceUnavailable',
    message: 'This fault was asked for on the admin port of local-entra.',
  },
});

const html = (status: number): string =>
  `<html><head><title>${status}</title></head><body><h1>${status}</h1><hr>proxy</body></html>`;

const answer = (ctx: ParameterizedContext, fault: Fault, status: number, endpoint: FaultEndpoint): void => {
  ctx.status = status;
  if (fault.retryAfterSeconds !== undefined) ctx.set('Retry-After', String(fault.retryAfterSeconds));
  ctx.set('Cache-Control', 'no-store');
  if (fault.body === 'html') ctx.body = html(status);
  else if (fault.body === 'empty') ctx.body = '';
  else ctx.body = endpoint === 'graph' ? graphBody(status) : stsBody(status);
};

/** Makes requests late or fail, as the admin port asked for. */
export const strikeFaults = (faults: Faults): Middleware<ServiceState> =>
  async function strikeFaults(ctx, next) {
    const endpoint = faults.list().length === 0 ? undefined : endpointOf(ctx.path);
    const fault = endpoint && faults.strike(endpoint);
    if (!endpoint || !fault) {
      await next();
      return;
    }
    ctx.state.logFields['fault'] = fault.id;
    if (fault.latencyMs > 0) await wait(ctx, fault.latencyMs);
    if (fault.disconnect) {
      ctx.respond = false;
      ctx.res.destroy();
    } else if (fault.status === undefined) {
      await next();
    } else {
      answer(ctx, fault, fault.status, endpoint);
    }
  };
