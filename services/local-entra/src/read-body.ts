import type { IncomingMessage } from 'node:http';
import { ProblemError } from '@countersign/service-kit';

/** The client went away: nobody's fault here. */
const aborted = (cause: unknown): ProblemError =>
  new ProblemError('The body ended before its end.', { status: 400, code: 'aborted', cause });

/**
 * A request's whole body as text.
 *
 * @throws {ProblemError} 413 for one that is longer, 400 for one that breaks off.
 */
export const readBody = async (request: IncomingMessage, maxBytes: number): Promise<string> => {
  try {
    return await readWhole(request, maxBytes);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ECONNRESET' || request.readableAborted) throw aborted(error);
    throw error;
  }
};

const readWhole = async (request: IncomingMessage, maxBytes: number): Promise<string> => {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > maxBytes) {
      throw new ProblemError(`The body is longer than ${maxBytes} bytes.`, {
        status: 413,
        code: 'content_too_large',
        headers: { Connection: 'close' },
      });
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
};
