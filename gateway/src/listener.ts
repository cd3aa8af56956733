import { randomUUID } from 'node:crypto';
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  ServerResponse,
} from 'node:http';
import { createSecureServer, createServer as createHttp2Server } from 'node:http2';
import type { Socket } from 'node:net';
import type { Logger } from '@countersign/service-kit';
import { networkOf, type TrustedProxies, withoutMapping } from './headers/client-address.ts';
import { endIfAwaited, limitIdleClients } from './client-idle.ts';
import { ClientRequest } from './client-request.ts';
import { inTurn } from './in-turn.ts';
import { type KeyPair, secureContextOf } from './key-pair.ts';
import type { UpgradeRequest } from './proxy/switch-protocols.ts';

/** Why a connection was refused, or closed for what could not be read as a request on it. */
export type RefusalCause =
  | 'too_many_connections'
  | 'too_many_of_address'
  | 'invalid_request'
  | 'headers_too_large'
  | 'payload_too_large'
  | 'request_timeout';

export interface ListenerOptions {
  handle: RequestListener;
  logger: Logger;
  protocol: 'http1' | 'h2c';
  /** With it the listener speaks TLS. */
  tls?: KeyPair | undefined;
  maxConnections: number;
  maxConnectionsPerAddress: number;
  /** Proxies speak for many clients, and are not limited by address. */
  trustedProxies: TrustedProxies;
  clientIdleMs: number;
  keepAliveMs: number;
  /** Told of what never becomes a request. A flood of it is counted, not logged. */
  onRefused?: ((cause: RefusalCause) => void) | undefined;
}

/** Any other protocol is as if nobody had asked for it. */
const wantsWebSocket = ({ method, headers }: IncomingMessage): boolean =>
  method === 'GET' && headers.upgrade?.toLowerCase() === 'websocket';

const limits = {
  shouldUpgradeCallback: wantsWebSocket,
  // Most requests have no body, and need none of what Node does to read one.
  optimizeEmptyRequests: true,
  // Slow heads and handshakes hold a connection for nothing; Node's defaults are a minute and two.
  headersTimeout: 10_000,
  handshakeTimeout: 10_000,
  // Bodies are bounded by the idle timeout, which a long upload that moves does not hit.
  requestTimeout: 0,
  connectionsCheckingInterval: 5_000,
  maxHeaderSize: 16_384,
};

/** Node's defaults are streams without number, and heads of 64 KiB. */
const http2Limits = { settings: { maxConcurrentStreams: 128, maxHeaderListSize: limits.maxHeaderSize } };

/** The server that clients connect to, with its limits. */
export const createListener = (settings: ListenerOptions): Server => {
  const options = { ...settings, handle: inTurn(settings.handle) };
  const server = createProtocolServer(options);
  server.maxConnections = options.maxConnections;
  server.keepAliveTimeout = options.keepAliveMs;
  limitIdleClients(server, options);
  // Without these two listeners Node asks for the body before anybody knows whether it is wanted.
  server.on('checkContinue', options.handle);
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) =>
    refuseUnreadable(error, socket, options),
  );
  server.on('upgrade', (request: UpgradeRequest, socket: Socket, head: Buffer) =>
    answerUpgrade(settings, request, socket, head),
  );
  limitByAddress(server, options);
  server.on('drop', () => options.onRefused?.('too_many_connections'));
  return server;
};

/**
 * Node hands a request for a WebSocket to this event, with its bare socket. It goes through the same stack as any other;
 * what does not switch is answered, and the connection is closed after it.
 */
const answerUpgrade = (
  { handle, clientIdleMs }: ListenerOptions,
  request: UpgradeRequest,
  socket: Socket,
  head: Buffer,
): void => {
  // It has to wait for the answers before it, and would be in the middle of them.
  if ((socket as { _httpMessage?: unknown })._httpMessage) {
    socket.destroy();
    return;
  }
  socket.on('error', () => socket.destroy());
  socket.on('timeout', () => endIfAwaited(socket, clientIdleMs));
  const response = new ServerResponse(request);
  response.shouldKeepAlive = false;
  response.assignSocket(socket);
  response.once('finish', () => socket.destroySoon());
  request.upgradeHead = head;
  handle(request, response);
};

const createProtocolServer = ({ handle, protocol, tls }: ListenerOptions): Server => {
  if (tls) {
    const settings = {
      ...limits,
      ...http2Limits,
      ...secureContextOf(tls),
      allowHTTP1: true,
    };
    return createSecureServer(settings as never, handle as never) as unknown as Server;
  }
  if (protocol === 'h2c') return createHttp2Server(http2Limits, handle as never) as unknown as Server;
  return createServer({ ...limits, IncomingMessage: ClientRequest }, handle);
};

const limitByAddress = (
  server: Server,
  { maxConnectionsPerAddress, trustedProxies, onRefused }: ListenerOptions,
): void => {
  const counts = new Map<string, number>();
  server.on('connection', (socket: Socket) => {
    const peer = withoutMapping(socket.remoteAddress ?? '');
    if (trustedProxies.has(peer)) return;
    const address = networkOf(peer);
    const count = (counts.get(address) ?? 0) + 1;
    if (count > maxConnectionsPerAddress) {
      onRefused?.('too_many_of_address');
      socket.destroy();
      return;
    }
    counts.set(address, count);
    socket.once('close', () => {
      const left = (counts.get(address) ?? 1) - 1;
      if (left === 0) counts.delete(address);
      else counts.set(address, left);
    });
  });
};

/** Nothing can be said on it yet, and an end would wait for ever. */
const isHandshaking = (socket: Socket & { secureConnecting?: boolean }): boolean =>
  socket.secureConnecting === true;

interface Refusal {
  status: number;
  title: string;
  code: RefusalCause;
}

const refusals: Readonly<Record<string, Refusal>> = {
  HPE_HEADER_OVERFLOW: { status: 431, title: 'Request Header Fields Too Large', code: 'headers_too_large' },
  HPE_CHUNK_EXTENSIONS_OVERFLOW: { status: 413, title: 'Payload Too Large', code: 'payload_too_large' },
  ERR_HTTP_REQUEST_TIMEOUT: { status: 408, title: 'Request Timeout', code: 'request_timeout' },
};

const badRequest: Refusal = { status: 400, title: 'Bad Request', code: 'invalid_request' };

/** What cannot be read as a request has no context and passes no middleware; it gets a problem and a record all the same. */
const refuseUnreadable = (
  error: NodeJS.ErrnoException,
  socket: Socket,
  { logger, onRefused }: Pick<ListenerOptions, 'logger' | 'onRefused'>,
): void => {
  const { code = '' } = error;
  const answer = (socket as { _httpMessage?: ServerResponse })._httpMessage;
  const isGone = !socket.writable || code === 'ECONNRESET' || code === 'EPIPE' || isHandshaking(socket);
  const { status, title, code: problemCode } = refusals[code] ?? badRequest;
  if (!isGone) onRefused?.(problemCode);
  if (answer?.req.complete && !isGone) {
    // The bytes are those of a later request. This one was whole and is worked on: its answer is the connection's last.
    if (answer.shouldKeepAlive) answer.once('finish', () => socket.destroySoon());
    answer.shouldKeepAlive = false;
    return;
  }
  // An answer that has begun cannot take another one.
  if (isGone || answer?.headersSent) {
    socket.destroy();
    return;
  }
  const requestId = randomUUID();
  const body = JSON.stringify({ title, status, code: problemCode, requestId });
  logger.info(
    { request_id: requestId, 'http.response.status_code': status, cause: code },
    'unreadable request',
  );
  socket.end(
    `HTTP/1.1 ${status} ${title}\r\nContent-Type: application/problem+json\r\nContent-Length: ${body.length}\r\n` +
      `X-Request-Id: ${requestId}\r\nConnection: close\r\n\r\n${body}`,
  );
};
