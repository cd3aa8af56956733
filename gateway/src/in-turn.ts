import type { RequestListener } from 'node:http';
import type { Socket } from 'node:net';
import { isHttp2 } from './request-target.ts';

/** Requests of one connection that may wait. Each is a head of up to 16 KiB that was read. */
const mostWaiting = 32;

/**
 * Works on the requests of a connection one after the other, as they have to be answered anyway (RFC 9112 §9.3.2): a client
 * that sends ahead takes no more places than any other. A connection on which too many wait is closed.
 */
export const inTurn = (handle: RequestListener): RequestListener => {
  const waiting = new WeakMap<Socket, number>();
  return (request, response) => {
    // Node gives the connection to one answer at a time; over HTTP/2 each has its stream.
    if (response.socket || isHttp2(request)) {
      handle(request, response);
      return;
    }
    const { socket } = request;
    const count = (waiting.get(socket) ?? 0) + 1;
    waiting.set(socket, count);
    if (count > mostWaiting) {
      socket.destroy();
      return;
    }
    response.once('socket', () => {
      waiting.set(socket, (waiting.get(socket) ?? 1) - 1);
      // Node has still to write what the answer has by then, which must be nothing.
      queueMicrotask(() => handle(request, response));
    });
  };
};
