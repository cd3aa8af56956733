import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { constants, type Http2Session, type ServerHttp2Stream } from 'node:http2';
import { Socket } from 'node:net';

/** Node's name for the answer that a connection carries now. */
type ClientSocket = Socket & { _httpMessage?: (ServerResponse & { req: IncomingMessage }) | null };

/** In milliseconds. */
export interface IdleTimes {
  clientIdleMs: number;
  /** Between requests. */
  keepAliveMs: number;
}

/**
 * Cuts off clients that keep the gateway waiting so long: within a body that is being read, with an answer that they do
 * not take, or between requests. While the gateway waits for an upstream, the times of the route count alone.
 */
export const limitIdleClients = (server: Server, { clientIdleMs: idleMs, keepAliveMs }: IdleTimes): void => {
  const streams = new WeakMap<Http2Session, number>();
  server.setTimeout(idleMs);
  server.on('timeout', (connection: ClientSocket | Http2Session) => {
    if (connection instanceof Socket) endIfAwaited(connection, idleMs);
  });
  // Of HTTP/2 alone, where streams have an idle time each, and a session without one is between requests.
  server.on('session', (session: Http2Session) => {
    const onTimeout = (): void => {
      if ((streams.get(session) ?? 0) === 0) session.destroy();
      else session.setTimeout(keepAliveMs, onTimeout);
    };
    session.setTimeout(keepAliveMs, onTimeout);
  });
  // Of HTTP/2 alone, where a session has several answers on their way.
  server.on('stream', (stream: ServerHttp2Stream) => {
    const session = stream.session as Http2Session;
    streams.set(session, (streams.get(session) ?? 0) + 1);
    stream.once('close', () => streams.set(session, (streams.get(session) ?? 1) - 1));
    const onTimeout = (): void => {
      if (isStreamAwaited(stream)) stream.close(constants.NGHTTP2_CANCEL);
      else stream.setTimeout(idleMs, onTimeout);
    };
    stream.setTimeout(idleMs, onTimeout);
  });
};

/** Ends a connection that has been idle for so long, unless the gateway is who keeps the other waiting. */
export const endIfAwaited = (socket: ClientSocket, idleMs: number): void => {
  if (isAwaited(socket)) socket.destroy();
  else socket.setTimeout(idleMs);
};

const isAwaited = (socket: ClientSocket): boolean => {
  const { _httpMessage: response } = socket;
  if (!response || socket.writableLength > 0) return true;
  return !response.req.complete && response.req.readableFlowing === true;
};

const isStreamAwaited = (stream: ServerHttp2Stream): boolean =>
  stream.writableLength > 0 || (!stream.readableEnded && stream.readableFlowing === true);
