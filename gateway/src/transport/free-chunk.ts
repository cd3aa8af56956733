/**
 * Makes the callback of a write that frees what was written. Node gives each 64 kB of a body memory of its own, and left
 * to the collector it makes V8 mark the whole heap every 10 MB or so, which costs more than all else that is done
 * for the body.
 *
 * Only for a chunk that nobody looks at again. One that is a part of something larger is left alone.
 */
export const freeOnceWritten =
  (chunk: Buffer) =>
  (error?: Error | null): void => {
    // What could not be written may still be on its way.
    if (!error && chunk.byteLength === chunk.buffer.byteLength) (chunk.buffer as ArrayBuffer).transfer(0);
  };
