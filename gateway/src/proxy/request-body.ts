import type { IncomingMessage, ServerResponse } from 'node:http';
import { constants, type Http2ServerRequest } from 'node:http2';
import { type Readable, Transform } from 'node:stream';
import { ProblemError } from '@countersign/service-kit';
import type { SortedRequestHeaders } from '../headers/request-headers.ts';
import { isHttp2 } from '../request-target.ts';
import { smallBodyBytes } from '../transport/transport.ts';

/** A request's body, as an upstream's transport takes it. */
export interface RequestBody {
  body: Buffer | Readable | null;
  /** Undefined for a body that is sent chunked. */
  contentLength: number | undefined;
}

const noBody: RequestBody = { body: null, contentLength: 0 };

/** How much and how long is read, in bytes and milliseconds, of a body that nobody wants. */
const discarded = { bytes: 16 * 2 ** 20, ms: 10_000 };

const tooLarge = (maxBodyBytes: number): ProblemError =>
  new ProblemError(`The body is longer than the ${maxBodyBytes} bytes that are taken here.`, {
    status: 413,
    code: 'payload_too_large',
  });

/** The client has used up the time of the whole exchange. */
export const tooSlow = (): ProblemError =>
  new ProblemError('The body of this request took too long.', {
    status: 408,
    code: 'request_timeout',
    headers: { Connection: 'close' },
  });

/**
 * Takes a request's body: none, a small one whole, a larger one as the stream that it is.
 *
 * @param endsAtMs when the exchange has to be over, of `performance.now()`.
 * @throws {ProblemError} 413 when it is announced as too long, 400 for one on GET or HEAD, which servers read differently,
 *   408 when a small one is not there in time.
 */
export const takeBody = (
  request: IncomingMessage,
  response: ServerResponse,
  { contentLength: announced, transferEncoding: chunked, expect }: SortedRequestHeaders,
  maxBodyBytes: number,
  endsAtMs: number | undefined,
): RequestBody | Promise<RequestBody> => {
  const length = announced === undefined ? undefined : Number(announced);
  const unframed = length === undefined && hasUnframedBody(request);
  if (chunked === undefined && !unframed && !length) return noBody;
  // Node reads any other coding as one without an end; an upstream may know it.
  if (chunked !== undefined && chunked.toLowerCase() !== 'chunked') {
    throw new ProblemError('The only transfer coding that is taken is chunked.', {
      status: 501,
      code: 'not_implemented',
      headers: { Connection: 'close' },
    });
  }
  if (request.method === 'GET' || request.method === 'HEAD') {
    throw new ProblemError(`A ${request.method} request has no body.`, {
      status: 400,
      code: 'invalid_request',
    });
  }
  if (length !== undefined && length > maxBodyBytes) throw tooLarge(maxBodyBytes);
  // The client waits until somebody wants the body (RFC 9110 §10.1.1); nobody does before the checks have passed.
  if (expect !== undefined && request.httpVersion !== '1.0') response.writeContinue();
  if (length === undefined) return { body: limited(request, maxBodyBytes), contentLength: undefined };
  if (length > smallBodyBytes) return { body: request, contentLength: length };
  return collect(request, length, endsAtMs);
};

/**
 * Reads what is left of a body that was answered before its end, within bounds: a connection that is closed with bytes
 * unread takes the answer away from a client that is still sending (RFC 9112 §9.6), and one that is not read takes no
 * further request.
 */
export const discardBody = (request: IncomingMessage): void => {
  if (request.complete || request.destroyed) return;
  const giveUp = (): void => {
    if (isHttp2(request)) (request as unknown as Http2ServerRequest).stream.close(constants.NGHTTP2_CANCEL);
    else request.destroy();
  };
  // Of a request that is answered Node does not tell that its connection has closed.
  const timer = setTimeout(giveUp, discarded.ms).unref();
  let bytes = 0;
  const done = (): void => clearTimeout(timer);
  request.once('close', done).once('end', done);
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > discarded.bytes) giveUp();
  });
  request.unpipe().resume();
};

/** Over HTTP/2 a body needs no header that announces it. */
const hasUnframedBody = (request: IncomingMessage): boolean =>
  isHttp2(request) &&
  (request as { stream?: { endAfterHeaders?: boolean } }).stream?.endAfterHeaders === false;

const collect = (
  request: IncomingMessage,
  length: number,
  endsAtMs: number | undefined,
): Promise<RequestBody> =>
  new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    if (endsAtMs !== undefined) {
      const overdue = setTimeout(() => reject(tooSlow()), endsAtMs - performance.now());
      request.once('close', () => clearTimeout(overdue));
    }
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.once('end', () => {
      const [first] = chunks;
      resolve({ body: chunks.length === 1 && first ? first : Buffer.concat(chunks), contentLength: length });
    });
    request.once('close', () => reject(new ClientGoneError()));
  });

/** The client went away; nobody is left to answer. */
export class ClientGoneError extends Error {
  override readonly name = 'ClientGoneError';
}

/** A body of unknown length, which fails with a 413 once it is longer than it may be. */
const limited = (request: IncomingMessage, maxBodyBytes: number): Readable => {
  let bytes = 0;
  const counted = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      bytes += chunk.length;
      if (bytes <= maxBodyBytes) done(undefined, chunk);
      else done(tooLarge(maxBodyBytes));
    },
  });
  // It may fail before anybody reads it; whoever does is told.
  counted.on('error', () => request.unpipe(counted));
  request.once('close', () => {
    if (!request.complete) counted.destroy(new ClientGoneError());
  });
  return request.pipe(counted);
};
