import { createHash } from 'node:crypto';
import type { z } from 'zod';
import { invalidParameter } from './invalid-request.ts';

/** Finds out what was cut or edited. It is no secret: a cursor says nothing that its holder may not see or ask for. */
const checksum = (scope: string, text: string): string =>
  createHash('sha256')
    .update(JSON.stringify([scope, text]))
    .digest('base64url')
    .slice(0, 12);

/** Where a list goes on, as text without a meaning for clients. @param scope what the list is of */
export const writeCursor = (scope: string, position: unknown): string => {
  const text = Buffer.from(JSON.stringify(position)).toString('base64url');
  return `${text}.${checksum(scope, text)}`;
};

/**
 * What {@link writeCursor} was given.
 *
 * @param schema of the position: whoever can compute a checksum can write anything into a cursor
 * @throws ProblemError (400) for anything else, also for the cursor of another scope
 */
export const readCursor = <Schema extends z.ZodType>(
  scope: string,
  schema: Schema,
  cursor: string,
): z.output<Schema> => {
  const [, text = '', sum] = /^([\w-]+)\.([\w-]{12})$/.exec(cursor) ?? [];
  const position = sum === checksum(scope, text) ? schema.safeParse(parse(text)) : undefined;
  if (position?.success) return position.data;
  throw invalidParameter('cursor', 'is no cursor that this list, with these filters, has given');
};

const parse = (text: string): unknown => {
  try {
    return JSON.parse(Buffer.from(text, 'base64url').toString());
  } catch {
    return undefined;
  }
};
