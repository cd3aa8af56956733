import type { ServerResponse } from 'node:http';
import { constants, type ServerHttp2Stream } from 'node:http2';

/** Node's answers of HTTP/2 have their stream, and are not told by it that they are destroyed. */
const streamOf = (response: ServerResponse): ServerHttp2Stream | undefined =>
  (response as { stream?: ServerHttp2Stream }).stream;

/** Whether the client went away. */
export const isGone = (response: ServerResponse): boolean => streamOf(response)?.closed ?? response.destroyed;

/** Breaks an answer off so that half of it does not look whole: over HTTP/1.1 with its connection. */
export const cutOff = (response: ServerResponse): void => {
  const stream = streamOf(response);
  if (stream) stream.close(constants.NGHTTP2_INTERNAL_ERROR);
  else response.destroy();
};
