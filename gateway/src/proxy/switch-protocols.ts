import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { ProblemError } from '@countersign/service-kit';
import { contentLengthAlone } from '../headers/header-lists.ts';
import type { SortedRequestHeaders } from '../headers/request-headers.ts';
import { sortResponseHeaders } from '../headers/response-headers.ts';
import type { Route } from '../routes/route-schema.ts';
import { upgrade } from '../transport/upgrade.ts';
import type { Endpoint } from '../upstream/endpoint.ts';
import { isGone } from './client-response.ts';
import { ClientGoneError } from './request-body.ts';
import type { AnswerHeaders } from './response-writer.ts';

/** A request that asks for another protocol, with the bytes that came after its head. */
export interface UpgradeRequest extends IncomingMessage {
  upgradeHead?: Buffer;
}

/** Whether a request may become a WebSocket; on other routes it is answered as if it had not asked. */
export const asksForWebSocket = (
  request: UpgradeRequest,
  { upgrade: protocol }: SortedRequestHeaders,
  { webSocket }: Route,
): boolean =>
  webSocket &&
  request.upgradeHead !== undefined &&
  request.method === 'GET' &&
  protocol?.toLowerCase() === 'websocket';

/**
 * Browsers send cookies with WebSocket requests of any page and check no CORS: the origin has to be checked here.
 *
 * @throws {ProblemError} 403 for a page of another origin than the host's own and those of the route.
 */
export const assertOrigin = ({ cors }: Route, origin: string | undefined, host: string): void => {
  if (origin === undefined || cors?.origins.includes(origin) || cors?.origins.includes('*')) return;
  if (URL.canParse(origin) && new URL(origin).host === host) return;
  throw new ProblemError('Pages of this origin may not open a WebSocket here.', {
    status: 403,
    code: 'origin_not_allowed',
  });
};

export interface SwitchOptions {
  request: UpgradeRequest;
  response: ServerResponse;
  route: Route;
  endpoint: Endpoint;
  path: string;
  /** Headers for the upstream, without those of the hop. */
  headers: readonly string[];
  /** What the gateway changes about the upstream's answer. */
  answer: Pick<AnswerHeaders, 'added' | 'stripped'>;
  /** The request's completion record gets these. */
  logFields: Record<string, unknown>;
  /** Told when the upstream has answered, before the client is. */
  onAnswered: () => void;
  /** Ends what has switched. */
  stopping: AbortSignal;
}

/**
 * Asks the upstream to switch, and ties the two connections together until either ends, neither has said anything for
 * the route's `idleMs`, or the gateway stops. The request is complete once it has switched.
 *
 * @returns once that is over: whether it has switched; otherwise the upstream's refusal is written.
 * @throws {UpstreamError} when there is no answer.
 * @throws {ClientGoneError} when the client went away first.
 */
export const switchProtocols = async (options: SwitchOptions): Promise<boolean> => {
  const { request, response, route, endpoint, path, headers, logFields, stopping } = options;
  // It may have had to wait until here, and nobody tells twice that the client has left.
  if (isGone(response) || request.socket.destroyed) throw new ClientGoneError();
  const gone = new AbortController();
  const onGone = (): void => gone.abort();
  response.once('close', onGone);
  const stopWatching = destroyAtEnd(request.socket);
  const hop = ['Host', endpoint.host, 'Connection', 'Upgrade', 'Upgrade', 'websocket'];
  const answered = await upgrade(
    endpoint.origin,
    { method: 'GET', path, headers: [...headers, ...hop], body: null },
    route.timeouts,
    { signal: gone.signal },
  ).finally(() => {
    response.off('close', onGone);
    stopWatching();
  });
  options.onAnswered();
  const { added, stripped } = options.answer;
  const { headers: kept } = sortResponseHeaders(
    answered.headers,
    new Set([...stripped, ...contentLengthAlone]),
  );
  kept.push(...added);
  if (answered.socket === null) {
    response.writeHead(answered.status, answered.reason, kept);
    response.end(answered.head);
    return false;
  }
  logFields['http.response.status_code'] = 101;
  const client = request.socket;
  response.detachSocket(client);
  client.write(head101([...kept, 'Connection', 'Upgrade', 'Upgrade', 'websocket']), 'latin1');
  client.write(answered.head);
  if (request.upgradeHead) answered.socket.write(request.upgradeHead);
  // The connection is no longer the response's, so that nothing else tells its listeners that it is over.
  response.emit('close');
  const end = (): void => client.destroySoon();
  stopping.addEventListener('abort', end);
  if (stopping.aborted) end();
  await tie(client, answered.socket, route.timeouts.idleMs);
  stopping.removeEventListener('abort', end);
  return true;
};

/**
 * Destroys a socket that its peer ends before anybody reads it. What the peer sends ahead is left to be read.
 *
 * @returns stops that
 */
const destroyAtEnd = (socket: Socket): (() => void) => {
  const onEnd = (): void => void socket.destroy();
  // The end of a stream shows to who reads it alone.
  const onReadable = (): void => {
    if (socket.readableLength === 0) socket.read();
  };
  socket.once('end', onEnd).on('readable', onReadable);
  return () => socket.off('end', onEnd).off('readable', onReadable);
};

const head101 = (headers: readonly string[]): string => {
  let head = 'HTTP/1.1 101 Switching Protocols\r\n';
  for (let index = 0; index < headers.length; index += 2)
    head += `${headers[index]}: ${headers[index + 1]}\r\n`;
  return `${head}\r\n`;
};

const probeAfterMs = 30_000;

/** Resolves when both are closed. Either end takes the other with it; what was written before arrives. */
const tie = (one: Socket, other: Socket, idleMs: number): Promise<unknown> => {
  const closed = [one, other].map(
    (socket) =>
      new Promise<void>((resolve) => {
        if (socket.closed) resolve();
        socket.once('close', resolve);
        // A reset shows as a close as well.
        socket.on('error', () => undefined);
        // What goes through counts on both; a peer that vanished does not answer the probes.
        socket.setTimeout(idleMs, () => socket.destroy());
        socket.setKeepAlive(true, probeAfterMs);
      }),
  );
  for (const [socket, peer] of [
    [one, other],
    [other, one],
  ] as const) {
    if (socket.closed) peer.destroy();
    else socket.once('close', () => peer.destroy());
  }
  one.pipe(other);
  other.pipe(one);
  return Promise.all(closed);
};
