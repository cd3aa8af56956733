/**
 * Makes the callback of a write that frees what was written. Node gives each 64 kB of a body memory of its own, and left
 * to the collector it makes V8 mark the whole heap every 10 MB or so, which costs more than all else that is done
 * for the body.
 *
 * Only for a chunk that nobody looks at again, and only for writes to sockets and to answers of HTTP/1.1: a stream of
 * HTTP/2 that is reset says that a write is over while parts of it wait to be sent. A chunk that is a part of something
 * larger is left alone.
 */
export const freeOnceWritten =
  (chunk: Buffer) =>
  (error?: Error | null): void => {
    // What could not be written may still be on its way.
    if (!error && chunk.byteLength === chunk.buffer.byteLength) (chunk.buffer as ArrayBuffer).transfer(0);
  };
