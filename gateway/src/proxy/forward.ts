import type { IncomingMessage } from 'node:http';
import { ProblemError, propagationHeaders, type ServiceState } from '@countersign/service-kit';
import type { Principal, TokenVerifier } from '@countersign/shared-auth';
import type { Context, Middleware, ParameterizedContext } from 'koa';
import { type Client, readClient, type TrustedProxies } from '../headers/client-address.ts';
import {
  type SortedRequestHeaders,
  sortRequestHeaders,
  withoutHeaders,
} from '../headers/forwarded-headers.ts';
import { assertSpoken, readHost, readTarget, type RequestTarget } from '../request-target.ts';
import type { Route } from '../routes/route-schema.ts';
import type { ActiveTable, PreparedRoute } from './active-table.ts';
import { corsHeaders, preflightHeaders } from './cors.ts';
import { checkAtEdge, identityHeaders } from './edge-check.ts';
import { exchange, type ExchangeOptions, toProblem, unavailable } from './exchange.ts';
import { ClientGoneError, takeBody } from './request-body.ts';
import { assertOrigin, asksForWebSocket, switchProtocols } from './switch-protocols.ts';
import { UpstreamError } from '../transport/transport.ts';

export interface ForwardOptions {
  /** The table in force; asked anew for each request, so that a reload takes effect with the next one. */
  table: () => ActiveTable;
  verifiers: ReadonlyMap<string, TokenVerifier>;
  trustedProxies: TrustedProxies;
}

/**
 * Forwards what the route table names and leaves the rest to the next middleware. The order is that of cost: what a
 * request is refused for without looking anything up comes first, the upstream last.
 */
export const forward = ({ table, verifiers, trustedProxies }: ForwardOptions): Middleware<ServiceState> =>
  async function forward(ctx, next) {
    const { req: request, res: response, state } = ctx;
    const active = table();
    assertSpoken(request);
    const target = readTarget(request.url as string);
    const host = readHost(request);
    const prepared = active.match(target.path);
    if (!prepared) {
      await next();
      return;
    }
    const { route, upstream } = prepared;
    state.logFields['http.route'] = route.path;
    state.logFields['upstream'] = upstream.name;
    assertRouteTakes(ctx, route, target);
    const sorted = sortRequestHeaders(request.rawHeaders);
    const client = readClient(
      { peer: request.socket.remoteAddress ?? '', proto: isEncrypted(ctx) ? 'https' : 'http', host },
      sorted.said,
      trustedProxies,
    );
    const cors =
      route.cors && sorted.origin !== undefined ? corsHeaders(route.cors, sorted.origin) : noHeaders;
    // Refusals need them as well, or a page cannot read why it was refused.
    setAll(ctx, cors);
    if (route.cors && sorted.origin !== undefined && isPreflight(ctx)) {
      setAll(ctx, preflightHeaders(route.cors, sorted.origin, route.methods ?? defaultCorsMethods));
      ctx.status = 204;
      return;
    }

    const checked = checkAtEdge(route, verifiers, {
      authorization: sorted.authorization,
      method: request.method as string,
      query: target.query,
      headers: () => propagationHeaders(state.requestContext),
    });
    const principal = checked instanceof Promise ? await checked : checked;
    if (principal) state.logFields['azp'] = principal.applicationId;
    const limits = prepared.countRequest && (await prepared.countRequest(callerOf(route, principal, client)));
    const taken = takeBody(request, response, route.maxBodyBytes);
    const body = taken instanceof Promise ? await taken : taken;

    const switching = asksForWebSocket(request, route);
    if (switching) assertOrigin(route, sorted.origin, host);

    if (!upstream.admission.tryEnter() && !(await upstream.admission.enter())) throw unavailable(upstream);
    ctx.respond = false;
    const note: ExchangeOptions['note'] = (fields) => Object.assign(state.logFields, fields);
    const path = prepared.rewrite(target.path) + target.query;
    const headers = headersFor(prepared, sorted, client, principal, state);
    try {
      if (switching) {
        await tunnel(ctx, prepared, path, headers, note);
        return;
      }
      const brokenOff = await exchange({
        request,
        response,
        route,
        upstream,
        path,
        headers,
        body,
        added: limits ? [...prepared.addedHeaders, ...limits] : prepared.addedHeaders,
        stripped: prepared.strippedHeaders,
        note,
      });
      if (brokenOff) state.log.error({ err: brokenOff }, 'the upstream broke off its answer');
    } catch (error) {
      // Nobody is left to answer, and nothing went wrong here.
      if (error instanceof ClientGoneError) return;
      // Until the head has left, the answer to an error is Koa's to give.
      if (!response.headersSent && !response.destroyed) ctx.respond = true;
      throw error;
    } finally {
      letBodyEnd(request);
      upstream.admission.leave();
    }
  };

const tunnel = async (
  { req: request, res: response }: ParameterizedContext<ServiceState>,
  { route, upstream }: PreparedRoute,
  path: string,
  headers: readonly string[],
  note: ExchangeOptions['note'],
): Promise<void> => {
  const endpoint = upstream.choose();
  if (!endpoint) throw unavailable(upstream);
  endpoint.begin();
  try {
    await switchProtocols({ request, response, route, endpoint, path, headers, note });
    endpoint.end(true);
  } catch (error) {
    endpoint.end(response.destroyed ? undefined : false);
    throw error instanceof UpstreamError ? toProblem(error, endpoint.origin, 1) : error;
  }
};

/**
 * An answer may come before the body that it answers has been sent. What is left is read, or the connection could take no
 * further request; a body without a known end is not waited for.
 */
const letBodyEnd = (request: IncomingMessage): void => {
  if (request.complete || request.destroyed) return;
  if (request.headers['content-length'] === undefined) request.destroy();
  else request.resume();
};

const noHeaders: readonly string[] = [];
const defaultCorsMethods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'];

const isEncrypted = ({ req }: Pick<Context, 'req'>): boolean =>
  (req.socket as { encrypted?: boolean }).encrypted === true;

const isPreflight = ({ req }: Pick<Context, 'req'>): boolean =>
  req.method === 'OPTIONS' && req.headers['access-control-request-method'] !== undefined;

const setAll = (ctx: ParameterizedContext<ServiceState>, headers: readonly string[]): void => {
  for (let index = 0; index < headers.length; index += 2) {
    ctx.append(headers[index] as string, headers[index + 1] as string);
  }
};

const assertRouteTakes = (
  ctx: ParameterizedContext<ServiceState>,
  route: Route,
  target: RequestTarget,
): void => {
  if (target.encodedSlash && !route.encodedSlashes) {
    throw new ProblemError('The path holds an encoded slash.', { status: 400, code: 'invalid_request' });
  }
  const { methods } = route;
  const method = ctx.req.method as string;
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
    : `address/${client.address}`;

const headersFor = (
  { setHeaders, dropHeaders }: PreparedRoute,
  { forwarded }: SortedRequestHeaders,
  client: Client,
  principal: Principal | undefined,
  { requestContext }: ServiceState,
): string[] => {
  const headers = dropHeaders.size === 0 ? forwarded : withoutHeaders(forwarded, dropHeaders);
  for (const [name, value] of Object.entries(propagationHeaders(requestContext))) headers.push(name, value);
  headers.push('X-Forwarded-For', client.forwardedFor, 'X-Forwarded-Proto', client.proto);
  headers.push(
    'X-Forwarded-Host',
    client.host,
    'Forwarded',
    forwardedElement(client),
    'Via',
    '1.1 countersign',
  );
  if (principal) headers.push(...identityHeaders(principal));
  for (const part of setHeaders) headers.push(part);
  return headers;
};

/** RFC 7239 §4: an IPv6 address and a host with a port have to be quoted. */
const forwardedElement = ({ address, host, proto }: Client): string => {
  const node = address.includes(':') ? `"[${address}]"` : address;
  return `for=${node};host="${host}";proto=${proto}`;
};
