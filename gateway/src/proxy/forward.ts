import type { IncomingMessage, ServerResponse } from 'node:http';
import { noteStep, ProblemError, propagationHeaders, type ServiceState } from '@countersign/service-kit';
import type { Principal, TokenVerifier } from '@countersign/shared-auth';
import type { ParameterizedContext } from 'koa';
import { type Client, networkOf, readClient, type TrustedProxies } from '../headers/client-address.ts';
import { withoutHeaders } from '../headers/header-lists.ts';
import { forwardedHeaders, type SortedRequestHeaders } from '../headers/request-headers.ts';
import { assertSpoken, readHost, readTarget, type RequestTarget } from '../request-target.ts';
import type { Route } from '../routes/route-schema.ts';
import type { Upstream } from '../upstream/upstream.ts';
import type { ActiveTable, PreparedRoute } from './active-table.ts';
import { isGone } from './client-response.ts';
import type { Coding } from './compression.ts';
import { corsHeaders, preflightHeaders } from './cors.ts';
import { addIdentity, checkAtEdge } from './edge-check.ts';
import { exchange, type ExchangeOptions, unavailable } from './exchange.ts';
import { ClientGoneError, takeBody } from './request-body.ts';
import { assertOrigin, asksForWebSocket } from './switch-protocols.ts';
import { type Outgoing, tunnel } from './tunnel.ts';

export interface ForwardOptions {
  /** The table in force; asked anew for each request, so that a reload takes effect with the next one. */
  table: () => ActiveTable;
  verifiers: ReadonlyMap<string, TokenVerifier>;
  trustedProxies: TrustedProxies;
  /** Ends connections that have switched, which would go on after all requests are over. */
  stopping: AbortSignal;
}

/**
 * Forwards a request that the route table names, and answers it. Resolves to false for any other; nothing was done then.
 *
 * @throws {ProblemError} and what shared-auth throws, when the answer is the caller's to give.
 */
export type Forward = (
  ctx: ParameterizedContext<ServiceState>,
  sorted: SortedRequestHeaders,
) => Promise<boolean>;

/** The order is that of cost: what a request is refused for without looking anything up comes first, the upstream last. */
export const forward = ({ table, verifiers, trustedProxies, stopping }: ForwardOptions): Forward =>
  async function forward(ctx, sorted) {
    const { req: request, res: response, state } = ctx;
    const { logFields } = state;
    assertSpoken(request);
    const target = readTarget(request.url as string);
    const host = readHost(sorted.hosts);
    const prepared = table().match(target.path);
    if (!prepared) return false;
    const { route, upstream } = prepared;
    logFields['http.route'] = route.path;
    logFields['upstream'] = upstream.name;
    const client = readClient(
      { peer: request.socket.remoteAddress ?? '', proto: isEncrypted(request) ? 'https' : 'http', host },
      sorted.said,
      trustedProxies,
    );
    logFields['client.address'] = client.address;
    const cors = route.cors ? corsHeaders(route.cors, sorted.origin) : noHeaders;
    // Refusals need them as well, or a page cannot read why it was refused.
    for (let index = 0; index < cors.length; index += 2)
      ctx.append(cors[index] as string, cors[index + 1] as string);
    assertRouteTakes(request, route, target);
    if (route.cors && sorted.origin !== undefined && isPreflight(request, sorted)) {
      const allowed = preflightHeaders(route.cors, sorted.origin, route.methods ?? defaultCorsMethods);
      response.writeHead(204, [...cors, ...allowed, 'X-Request-Id', state.requestContext.requestId]).end();
      return true;
    }

    // Before the check, so that it bounds tokens that are tried as well.
    const countsAddresses = route.rateLimit?.by === 'address';
    let limits = countsAddresses ? await prepared.countRequest?.(addressOf(client)) : undefined;
    const checked = checkAtEdge(route, verifiers, {
      authorization: sorted.authorization,
      method: request.method as string,
      query: target.query,
      headers: () => propagationHeaders(state.requestContext),
      onVerified: (startMs, outcome) => noteStep(state, 'verify', startMs, outcome),
    });
    const principal = checked instanceof Promise ? await checked : checked;
    if (principal) logFields['azp'] = principal.applicationId;
    if (prepared.countRequest && !countsAddresses) {
      limits = await prepared.countRequest(principal ? applicationOf(principal) : addressOf(client));
    }
    const { httpVersion } = request;
    const headers = headersFor(prepared, forwardedHeaders(sorted), client, principal, state, httpVersion);
    const { totalMs } = route.timeouts;
    const endsAtMs = totalMs === undefined ? undefined : state.startMs + totalMs;
    const taken = takeBody(request, response, sorted, route.maxBodyBytes, endsAtMs);
    const body = taken instanceof Promise ? await taken : taken;

    const switching = asksForWebSocket(request, sorted, route);
    if (switching) assertOrigin(route, sorted.origin, host);

    const { admission } = upstream;
    const caller = principal ? principal.applicationId : networkOf(client.address);
    if (!admission.tryEnter(caller)) await enterInTurn(upstream, caller, response);
    const path = prepared.rewrite(target.path) + target.query;
    try {
      const { requestId } = state.requestContext;
      const added = ['X-Request-Id', requestId, ...prepared.addedHeaders, ...cors, ...(limits ?? [])];
      if (switching) await tunnel(ctx, prepared, { path, headers, added }, stopping);
      else await stream(ctx, prepared, { path, headers, added, body, endsAtMs });
    } catch (error) {
      // Nobody is left to answer, and nothing went wrong here.
      if (!(error instanceof ClientGoneError)) throw error;
    } finally {
      admission.leave(caller);
    }
    return true;
  };

/** Waits for a place as long as the client does. */
const enterInTurn = async (upstream: Upstream, caller: string, response: ServerResponse): Promise<void> => {
  if (isGone(response)) throw new ClientGoneError();
  const gone = new AbortController();
  const onGone = (): void => gone.abort();
  response.once('close', onGone);
  const shed = await upstream.admission.enter(caller, gone.signal);
  response.off('close', onGone);
  if (shed === 'gone') throw new ClientGoneError();
  if (shed) throw unavailable(upstream, shed);
};

const stream = async (
  ctx: ParameterizedContext<ServiceState>,
  { route, upstream, strippedHeaders }: PreparedRoute,
  outgoing: Outgoing & Pick<ExchangeOptions, 'body' | 'endsAtMs'>,
): Promise<void> => {
  const { req: request, res: response, state } = ctx;
  const { logFields } = state;
  const { compress } = route;
  const coding = compress ? codingFor(ctx) : undefined;
  // Most requests have this one step, and log it as upstream_duration_ms alone.
  const onAnswered = logFields['steps']
    ? (startMs: number) => noteStep(state, 'upstream', startMs)
    : undefined;
  const brokenOff = await exchange({
    request,
    response,
    route,
    upstream,
    path: outgoing.path,
    headers: outgoing.headers,
    body: outgoing.body,
    endsAtMs: outgoing.endsAtMs,
    answer: { added: outgoing.added, stripped: strippedHeaders, compress, coding },
    logFields,
    onAnswered,
  });
  if (brokenOff) state.log.error({ err: brokenOff }, 'the upstream broke off its answer');
};

const codingFor = (ctx: ParameterizedContext<ServiceState>): Coding | undefined => {
  const coding = ctx.acceptsEncodings('br', 'gzip', 'identity');
  return coding === 'br' || coding === 'gzip' ? coding : undefined;
};

const noHeaders: readonly string[] = [];
const defaultCorsMethods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'];

const isEncrypted = ({ socket }: IncomingMessage): boolean =>
  (socket as { encrypted?: boolean }).encrypted === true;

const isPreflight = ({ method }: IncomingMessage, { preflightMethod }: SortedRequestHeaders): boolean =>
  method === 'OPTIONS' && preflightMethod !== undefined;

const assertRouteTakes = ({ method = '' }: IncomingMessage, route: Route, target: RequestTarget): void => {
  if (target.encodedSlash && !route.encodedSlashes) {
    throw new ProblemError('The path holds an encoded slash.', { status: 400, code: 'invalid_request' });
  }
  const { methods } = route;
  if (!methods || methods.includes(method) || (method === 'HEAD' && methods.includes('GET'))) return;
  if (method === 'OPTIONS' && route.cors) return;
  throw new ProblemError(`${method} is not possible here.`, {
    status: 405,
    code: 'method_not_allowed',
    headers: { Allow: methods.join(', ') },
  });
};

const applicationOf = ({ tenantId, applicationId }: Principal): string => `${tenantId}/${applicationId}`;

const addressOf = ({ address }: Client): string => `address/${networkOf(address)}`;

const headersFor = (
  { setHeaders, dropHeaders }: PreparedRoute,
  forwarded: string[],
  client: Client,
  principal: Principal | undefined,
  { requestContext: { requestId, traceId, spanId, traceFlags, traceState } }: ServiceState,
  httpVersion: string,
): string[] => {
  const headers = dropHeaders.size === 0 ? forwarded : withoutHeaders(forwarded, dropHeaders);
  headers.push('X-Request-Id', requestId, 'traceparent', `00-${traceId}-${spanId}-${traceFlags}`);
  if (traceState !== undefined) headers.push('tracestate', traceState);
  headers.push('X-Forwarded-For', client.forwardedFor, 'X-Forwarded-Proto', client.proto);
  headers.push('X-Forwarded-Host', client.host, 'Forwarded', forwardedElement(client));
  headers.push('Via', `${httpVersion} countersign`);
  if (principal) addIdentity(headers, principal);
  for (const part of setHeaders) headers.push(part);
  return headers;
};

/** RFC 7239 §4: an IPv6 address and a host with a port have to be quoted. */
const forwardedElement = ({ address, host, proto }: Client): string => {
  const node = address.includes(':') ? `"[${address}]"` : address;
  return `for=${node};host="${host}";proto=${proto}`;
};
