import type { ServiceState } from '@countersign/service-kit';
import type { ParameterizedContext } from 'koa';
import { UpstreamError } from '../transport/transport.ts';
import type { Endpoint } from '../upstream/endpoint.ts';
import type { PreparedRoute } from './active-table.ts';
import { isGone } from './client-response.ts';
import { type ExchangeOptions, toProblem, unavailable } from './exchange.ts';
import { ClientGoneError } from './request-body.ts';
import { switchProtocols } from './switch-protocols.ts';

/** What goes to the upstream, beside the request line's method, and what the gateway adds to its answer. */
export interface Outgoing extends Pick<ExchangeOptions, 'path' | 'headers'> {
  added: readonly string[];
}

/**
 * Sends a request for a WebSocket to an upstream, to another address where one cannot be reached, and carries what both
 * sides say until it is over. The request is complete, and logged, as soon as it has switched.
 *
 * @throws {ProblemError} 502, 503 or 504 when there is no answer.
 * @throws {ClientGoneError} when the client went away first.
 */
export const tunnel = async (
  ctx: ParameterizedContext<ServiceState>,
  { route, upstream, strippedHeaders }: PreparedRoute,
  { path, headers, added }: Outgoing,
  stopping: AbortSignal,
): Promise<void> => {
  const { req: request, res: response, state } = ctx;
  const { logFields } = state;
  const answer = { added, stripped: strippedHeaders };
  upstream.retries.deposit();
  let failed: Endpoint | undefined;
  for (let attempts = 1; ; attempts += 1) {
    const endpoint = upstream.choose(failed);
    if (!endpoint) throw unavailable(upstream, upstream.whyNone());
    const use = endpoint.begin();
    const startMs = performance.now();
    const onAnswered = (): void => {
      use.answered();
      logFields['upstream_address'] = endpoint.origin;
      logFields['upstream_duration_ms'] = Math.round((performance.now() - startMs) * 1_000) / 1_000;
    };
    let switched: boolean;
    try {
      const options = { request, response, route, endpoint, path, headers, answer, logFields, onAnswered };
      switched = await switchProtocols({ ...options, stopping });
    } catch (error) {
      if (!(error instanceof UpstreamError)) {
        use.end(undefined);
        throw error;
      }
      const { kind } = error;
      // One that refused has answered, however long its refusal is.
      use.end(error.isClients || error.headReceived ? undefined : false, kind);
      if (isGone(response)) throw new ClientGoneError();
      const unseen = kind === 'connect' || kind === 'connect_timeout';
      if (!unseen || attempts > route.retries || !upstream.retries.withdraw()) {
        throw toProblem(error, endpoint.origin, attempts);
      }
      logFields['retried_after'] = kind;
      failed = endpoint;
      continue;
    }
    use.end(true);
    if (switched) {
      const duration_ms = Math.round(performance.now() - state.startMs);
      state.log.info({ 'http.route': route.path, duration_ms }, 'WebSocket closed');
    }
    return;
  }
};
