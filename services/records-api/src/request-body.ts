import { createHash } from 'node:crypto';
import { ProblemError } from '@countersign/service-kit';
import type { ParameterizedContext } from 'koa';
import rawBody from 'raw-body';
import { invalidRequest } from './invalid-request.ts';

/** A record is 9 kB at most; as JSON in which everything is escaped, six times that. */
export const maxBodyBytes = 64 * 1024;

/** @throws ProblemError (415) for a body of another type, or one that is encoded */
export const requireMediaType = (ctx: ParameterizedContext, mediaType: string): void => {
  const encoding = ctx.get('Content-Encoding').toLowerCase();
  if (ctx.request.type.toLowerCase() === mediaType && (encoding === '' || encoding === 'identity')) return;
  throw new ProblemError(`Send ${mediaType}, without a content encoding.`, {
    status: 415,
    code: 'unsupported_media_type',
    headers: ctx.method === 'PATCH' ? { 'Accept-Patch': mediaType } : {},
    members: {
      errors: [{ pointer: encoding ? 'Content-Encoding' : 'Content-Type', detail: 'cannot be read' }],
    },
  });
};

export const tooLarge = (limit: string): ProblemError =>
  new ProblemError(`The body is longer than ${limit}.`, {
    status: 413,
    code: 'body_too_large',
    members: { errors: [{ pointer: '', detail: `is longer than ${limit}` }] },
  });

export const brokenOff = (cause: unknown): ProblemError =>
  new ProblemError('The body broke off.', {
    status: 400,
    code: 'invalid_request',
    members: { errors: [{ pointer: '', detail: 'broke off' }] },
    cause,
  });

/** A fingerprint of a request: its method and path, and its body bit by bit. */
export const createFingerprint = (
  ctx: ParameterizedContext,
): { add: (bytes: Uint8Array) => void; read: () => string } => {
  const hash = createHash('sha256').update(`${ctx.method} ${ctx.path.toLowerCase()}\n`);
  return { add: (bytes) => hash.update(bytes), read: () => hash.copy().digest('base64url') };
};

/**
 * The JSON body of a request.
 *
 * @throws ProblemError (400, 413, 415)
 */
export const readJson = async (
  ctx: ParameterizedContext,
  mediaType: string,
): Promise<{ value: unknown; bytes: Uint8Array }> => {
  requireMediaType(ctx, mediaType);
  const bytes = await readBytes(ctx);
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    return { value: JSON.parse(text), bytes };
  } catch {
    throw invalidRequest(400, 'The body is no JSON in UTF-8.', [{ pointer: '', detail: 'is no JSON' }]);
  }
};

const readBytes = async (ctx: ParameterizedContext): Promise<Uint8Array> => {
  try {
    return await rawBody(ctx.req, { limit: maxBodyBytes, length: ctx.req.headers['content-length'] ?? null });
  } catch (error) {
    const { status } = error as { status?: unknown };
    if (status === 413) throw tooLarge('64 KiB');
    throw status === 400 ? brokenOff(error) : error;
  }
};
