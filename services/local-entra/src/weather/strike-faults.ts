import { once } from 'node:events';
import { setTimeout } from 'node:timers/promises';
import type { Middleware, ParameterizedContext } from 'koa';
import type { ServiceState } from '@countersign/service-kit';
import type { EntraContext } from '../entra-context.ts';
import { renderGraphErrors } from '../graph/graph-endpoint.ts';
import { GraphError } from '../graph/graph-error.ts';
import { renderManagedIdentityErrors } from '../managed-identity/managed-identity-error.ts';
import { renderStsErrors } from '../sts-errors/render-sts-errors.ts';
import { StsError } from '../sts-errors/sts-error.ts';
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

/** Refuses in the words of the endpoint, by what renders its own refusals. */
const refuse = async (
  ctx: ParameterizedContext<ServiceState>,
  { entra, endpoint, status }: { entra: EntraContext; endpoint: FaultEndpoint; status: number },
): Promise<void> => {
  const isThrottled = status === 429;
  if (endpoint === 'graph') {
    const code = isThrottled ? 'TooManyRequests' : 'ServiceUnavailable';
    const error = new GraphError(status, code, 'This fault was asked for on the admin port of local-entra.');
    await renderGraphErrors(entra)(ctx, () => Promise.reject(error));
    return;
  }
  const error = new StsError(isThrottled ? 'tenantThrottled' : 'transient');
  const flavour = ctx.path.startsWith('/msi/') ? 'app-service' : 'imds';
  const render =
    endpoint === 'managed-identity'
      ? renderManagedIdentityErrors(flavour, status)
      : renderStsErrors(entra.clock);
  await render(ctx as never, () => Promise.reject(error));
};

const html = (status: number): string =>
  `<html><head><title>${status}</title></head><body><h1>${status}</h1><hr>proxy</body></html>`;

const answer = async (
  ctx: ParameterizedContext<ServiceState>,
  fault: Fault,
  refusal: { entra: EntraContext; endpoint: FaultEndpoint; status: number },
): Promise<void> => {
  const { status } = refusal;
  if (fault.retryAfterSeconds !== undefined) ctx.set('Retry-After', String(fault.retryAfterSeconds));
  ctx.set('Cache-Control', 'no-store');
  if (fault.body === 'html') ctx.body = html(status);
  else if (fault.body === 'empty') ctx.body = '';
  else await refuse(ctx, refusal);
  ctx.status = status;
};

/** Makes requests late or fail, as the admin port asked for. */
export const strikeFaults = (entra: EntraContext, faults: Faults): Middleware<ServiceState> =>
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
      await answer(ctx, fault, { entra, endpoint, status: fault.status });
    }
  };
