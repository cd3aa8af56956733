import type { IncomingMessage } from 'node:http';
import { ProblemError } from '@countersign/service-kit';
import { brokenOff, tooLarge } from './request-body.ts';

const maxBytes = 1024 ** 3;

/**
 * The body of an import as it arrives.
 *
 * @param idleMs how long the client may send nothing
 * @param onBytes sees all of it
 * @throws ProblemError (400, 408, 413)
 */
export async function* importBody(
  request: IncomingMessage,
  idleMs: number,
  onBytes: (bytes: Uint8Array) => void,
): AsyncGenerator<Buffer> {
  let bytes = 0;
  // Destroyed, the request would take along the connection that a refusal is answered on.
  const chunks = request.iterator({ destroyOnReturn: false }) as AsyncIterator<Buffer>;
  try {
    for (;;) {
      const next = await arriving(chunks.next(), idleMs);
      if (next.done) return;
      bytes += next.value.length;
      if (bytes > maxBytes) throw tooLarge('1 GiB');
      onBytes(next.value);
      yield next.value;
    }
  } catch (error) {
    throw request.errored ? brokenOff(error) : error;
  }
}

/** Only the wait for the client is timed, and not the one for the storage. */
const arriving = async <Chunk>(chunk: Promise<Chunk>, idleMs: number): Promise<Chunk> => {
  const silence = Promise.withResolvers<never>();
  const timer = setTimeout(() => silence.reject(fellSilent(idleMs)), idleMs);
  try {
    return await Promise.race([chunk, silence.promise]);
  } finally {
    clearTimeout(timer);
  }
};

const fellSilent = (idleMs: number): ProblemError =>
  new ProblemError(`Nothing of the body arrived for ${idleMs / 1_000} seconds.`, {
    status: 408,
    code: 'request_timeout',
    // What is left of the body will not be waited for.
    headers: { Connection: 'close' },
    members: { errors: [{ pointer: '', detail: 'stopped before its end' }] },
  });
