import { type InvalidPart, ProblemError } from '@countersign/service-kit';
import type { z } from 'zod';

/** Of more wrong parts no more are named. */
export const maxErrors = 100;

/** 400 when the request cannot be read, 422 when its content cannot be meant. */
export const invalidRequest = (
  status: 400 | 422,
  detail: string,
  errors: readonly (InvalidPart & { line?: number })[],
): ProblemError =>
  new ProblemError(detail, {
    status,
    code: 'invalid_request',
    members: { errors: errors.slice(0, maxErrors) },
  });

/** @param name of a query parameter or header */
export const invalidParameter = (name: string, detail: string): ProblemError =>
  invalidRequest(400, `${name} ${detail}.`, [{ pointer: name, detail }]);

const pointerTo = (path: readonly PropertyKey[]): string =>
  path.map((key) => `/${String(key).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');

/** What zod found, with a JSON pointer (RFC 6901) for each place. */
export const partsOf = ({ issues }: z.ZodError): InvalidPart[] =>
  issues.flatMap((issue) =>
    issue.code === 'unrecognized_keys'
      ? issue.keys.map((key) => ({
          pointer: pointerTo([...issue.path, key]),
          detail: 'is no member of a record',
        }))
      : [{ pointer: pointerTo(issue.path), detail: issue.message }],
  );
