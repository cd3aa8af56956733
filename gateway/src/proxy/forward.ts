import type { IncomingMessage } from 'node:http';
import { noteStep, ProblemError, propagationHeaders, type ServiceState } from '@countersign/service-kit';
import type { Principal, TokenVerifier } from '@countersign/shared-auth';
import type { ParameterizedContext } from 'koa';
import { type Client, networkOf, readClient, type TrustedProxies } from '../headers/client-address.ts';
import { withoutHeaders } from '../headers/header-lists.ts';
import { forwardedHeaders, type SortedRequestHeaders } from '../headers/request-headers.ts';
import { assertSpoken, readHost, readTarget, type RequestTarget } from '../request-target.ts';
import type { Route } from '../routes/route-schema.ts';
import { UpstreamError } from '../transport/transport.ts';
import type { ActiveTable, PreparedRoute } from './active-table.ts';
import type { Coding } from './compression.ts';
import { corsHeaders, preflightHeaders } from './cors.ts';
import { addIdentity, checkAtEdge } from './edge-check.ts';
import { exchange, type ExchangeOptions, toProblem, unavailable } from './exchange.ts';
import { ClientGoneError, discardBody, takeBody } from './request-body.ts';
import { assertOrigin, asksForWebSocket, switchProtocols } from './switch-protocols.ts';

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

    const checked = checkAtEdge(route, verifiers, {
      authorization: sorted.authorization,
      method: request.method as string,
      query: target.query,
      headers: () => propagationHeaders(state.requestContext),
      onVerified: (startMs, outcome) => noteStep(state, 'verify', startMs, outcome),
    });
    const principal = checked instanceof Promise ? await checked : checked;
    if (principal) logFields['azp'] = principal.applicationId;
    const limits = prepared.countRequest && (await prepared.countRequest(callerOf(route, principal, client)));
    const { httpVersion } = request;
    const headers = headersFor(prepared, forwardedHeaders(sorted), client, principal, state, httpVersion);
    const { totalMs } = route.timeouts;
    const endsAtMs = totalMs === undefined ? undefined : state.startMs + totalMs;
    const taken = takeBody(request, response, sorted, route.maxBodyBytes, endsAtMs);
    const body = taken instanceof Promise ? await taken : taken;

    const switching = asksForWebSocket(request, sorted, route);
    if (switching) assertOrigin(route, sorted.origin, host);

    if (!upstream.admission.tryEnter() && !(await upstream.admission.enter())) throw unavailable(upstream);
    const path = prepared.rewrite(target.path) + target.query;
    try {
      if (switching) await tunnel(ctx, prepared, path, headers, stopping);
      else await stream(ctx, prepared, { path, headers, body, endsAtMs }, [...cors, ...(limits ?? [])]);
    } catch (error) {
      // Nobody is left to answer, and nothing went wrong here.
      if (!(error instanceof ClientGoneError)) throw error;
    } finally {
      discardBody(request);
      upstream.admission.leave();
    }
    return true;
  };

/** What goes to the upstream, beside the request line's method. */
type Outgoing = Pick<ExchangeOptions, 'path' | 'headers' | 'body' | 'endsAtMs'>;

/** @param ownHeaders of this answer, on top of the route's */
const stream = async (
  ctx: ParameterizedContext<ServiceState>,
  { route, upstream, addedHeaders, strippedHeaders }: PreparedRoute,
  outgoing: Outgoing,
  ownHeaders: readonly string[],
): Promise<void> => {
  const { req: request, res: response, state } = ctx;
  const { logFields } = state;
  const added = ['X-Request-Id', state.requestContext.requestId, ...addedHeaders, ...ownHeaders];
  const compress = route.compress && request.method !== 'HEAD';
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
    answer: { added, stripped: strippedHeaders, compress, coding },
    logFields,
    onAnswered,
  });
  if (brokenOff) state.log.error({ err: brokenOff }, 'the upstream broke off its answer');
};

const codingFor = (ctx: ParameterizedContext<ServiceState>): Coding | undefined => {
  const coding = ctx.acceptsEncodings('br', 'gzip', 'identity');
  return coding === 'br' || coding === 'gzip' ? coding : undefined;
};

const tunnel = async (
  { req: request, res: response, state: { logFields } }: ParameterizedContext<ServiceState>,
  { route, upstream }: PreparedRoute,
  path: string,
  headers: readonly string[],
  stopping: AbortSignal,
): Promise<void> => {
  const endpoint = upstream.choose();
  if (!endpoint) throw unavailable(upstream);
  const use = endpoint.begin();
  try {
    await switchProtocols({ request, response, route, endpoint, use, path, headers, logFields, stopping });
    use.end(true);
  } catch (error) {
    use.end(response.destroyed ? undefined : false, error instanceof UpstreamError ? error.kind : undefined);
    throw error instanceof UpstreamError ? toProblem(error, endpoint.origin, 1) : error;
  }
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

const callerOf = ({ rateLimit }: Route, principal: Principal | undefined, client: Client): string =>
  principal && rateLimit?.by === 'application'
    ? `${principal.tenantId}/${principal.applicationId}`
    : `address/${networkOf(client.address)}`;

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
