import type { Middleware, ParameterizedContext } from 'koa';
import { z } from 'zod';
import { invalidRequest } from './invalid-request.ts';
import { filterParameters } from './record.ts';

const cursorParameter = z
  .string()
  .max(2_000)
  .optional()
  .meta({ description: 'From the link to the next page.' });

const limitParameter = z.int().min(1).max(100).default(10);

/** The query of a list of records. */
export const listParameters = filterParameters.extend({ limit: limitParameter, cursor: cursorParameter });

/** The query of a list of writes. */
export const historyParameters = z.strictObject({ limit: limitParameter, cursor: cursorParameter });

/** The query of an export. */
export const exportParameters = filterParameters.extend({
  cursor: cursorParameter,
  checkpoints: z.enum(['true', 'false']).default('false').meta({
    description: 'After each 1000 records, and after the last, a line with the cursor to go on from.',
  }),
});

/**
 * The query of a request.
 *
 * @throws ProblemError (400) that names each wrong, repeated or unknown parameter
 */
export const readQuery = <Schema extends z.ZodObject>(
  ctx: ParameterizedContext,
  schema: Schema,
): z.output<Schema> => {
  const query = Object.entries(ctx.query).map(([name, value]) => {
    const isNumber = name === 'limit' && typeof value === 'string' && /^\d{1,9}$/.test(value);
    return [name, isNumber ? Number(value) : value];
  });
  const result = schema.safeParse(Object.fromEntries(query));
  if (result.success) return result.data;
  const errors = result.error.issues.flatMap((issue) =>
    issue.code === 'unrecognized_keys'
      ? issue.keys.map((pointer) => ({ pointer, detail: 'is no parameter here' }))
      : [{ pointer: String(issue.path[0]), detail: issue.message }],
  );
  throw invalidRequest(400, 'The query cannot be used.', errors);
};

const noParameters = z.strictObject({});

/** For routes that take no parameters. */
export const withoutQuery: Middleware = async function withoutQuery(ctx, next) {
  readQuery(ctx, noParameters);
  await next();
};
