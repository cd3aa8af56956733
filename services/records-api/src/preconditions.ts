import { ProblemError } from '@countersign/service-kit';
import type { ParameterizedContext } from 'koa';
import { invalidParameter } from './invalid-request.ts';
import type { StoredRecord } from './record-store.ts';

/** Strong: the same version is the same bytes. */
export const entityTag = ({ version }: StoredRecord): string => `"${version}"`;

const entityTagPattern = /(?:W\/)?"[\x21\x23-\x7e\x80-\xff]*"/;
const listPattern = new RegExp(`^${entityTagPattern.source}(?:[ \\t]*,[ \\t]*${entityTagPattern.source})*$`);

/** @throws ProblemError (400) for a header that is no list of entity tags */
const readTags = (name: string, header: string): string[] => {
  if (!listPattern.test(header)) throw invalidParameter(name, 'is not * and no list of entity tags');
  return Array.from(header.matchAll(new RegExp(entityTagPattern, 'g')), ([tag]) => tag);
};

/**
 * What `If-Match` (RFC 9110 §13.1.1) asks of the record that is written.
 *
 * @returns a function that throws (412) unless the record is as the client has seen it.
 * @throws ProblemError (428) without the header: nobody writes over what they have not seen; (400) for one that is malformed
 */
export const requireMatch = (ctx: ParameterizedContext): ((current: StoredRecord) => void) => {
  const header = ctx.get('If-Match').trim();
  if (header === '') {
    throw new ProblemError(
      'Send If-Match with the ETag of the record as you have read it, or with * for any.',
      {
        status: 428,
        code: 'precondition_required',
        members: { errors: [{ pointer: 'If-Match', detail: 'is missing' }] },
      },
    );
  }
  if (header === '*') return () => undefined;
  const tags = new Set(readTags('If-Match', header));
  return (current) => {
    // The comparison is strong: a weak tag matches nothing.
    if (tags.has(entityTag(current))) return;
    throw new ProblemError('The record has changed since you have read it.', {
      status: 412,
      code: 'precondition_failed',
      headers: { ETag: entityTag(current) },
      members: { errors: [{ pointer: 'If-Match', detail: `the record is at ${entityTag(current)} now` }] },
    });
  };
};

/**
 * Whether the client has the record already (RFC 9110 §13.1.2). Koa's own check would believe `Cache-Control: no-cache` of a
 * request, which is meant for caches and which every `fetch` sends along with this header.
 */
export const isNotModified = (ctx: ParameterizedContext, stored: StoredRecord): boolean => {
  const header = ctx.get('If-None-Match').trim();
  if (header === '' || header === '*') return header === '*';
  return readTags('If-None-Match', header).some((tag) => tag.replace('W/', '') === entityTag(stored));
};
