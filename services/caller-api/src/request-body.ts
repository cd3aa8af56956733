import { ProblemError } from '@countersign/service-kit';
import type { ParameterizedContext } from 'koa';
import rawBody from 'raw-body';
import type { Draft } from './pages/record-page.ts';

/** As much as records-api takes. */
const maxBytes = 64 * 1024;

const formType = 'application/x-www-form-urlencoded';

export const isForm = (ctx: ParameterizedContext): boolean => ctx.request.type.toLowerCase() === formType;

/** The JSON body of a request; records-api checks what is in it. @throws ProblemError (400, 413, 415) */
export const readJson = async (ctx: ParameterizedContext): Promise<unknown> => {
  const text = await readText(ctx, 'application/json');
  try {
    return JSON.parse(text);
  } catch {
    throw new ProblemError('The body is no JSON.', { status: 400, code: 'invalid_request' });
  }
};

export interface SubmittedForm {
  draft: Draft;
  /** Of the version that was edited. */
  etag: string | undefined;
  idempotencyKey: string | undefined;
}

/** A record as a form of these pages brings it. @throws ProblemError (400, 413, 415) */
export const readForm = async (ctx: ParameterizedContext): Promise<SubmittedForm> => {
  const text = await readText(ctx, formType);
  assertEncoded(text);
  const form = new URLSearchParams(text);
  return {
    draft: {
      name: form.get('name') ?? '',
      // Forms send every line break as CR LF (HTML, 4.10.21.6).
      description: (form.get('description') ?? '').replaceAll('\r\n', '\n'),
      date: utcDate(form.get('date') ?? ''),
    },
    etag: headerValue(form.get('etag')),
    idempotencyKey: headerValue(form.get('key')),
  };
};

const notUtf8 = (): ProblemError =>
  new ProblemError('The body is no UTF-8.', { status: 400, code: 'invalid_request' });

/** URLSearchParams would put U+FFFD for what is no UTF-8. @throws ProblemError (400) */
const assertEncoded = (form: string): void => {
  try {
    decodeURIComponent(form);
  } catch {
    throw notUtf8();
  }
};

/** What `datetime-local` sends has no offset. What is no date is left for records-api to refuse. */
const utcDate = (text: string): string => {
  const date = new Date(/^\d{4}-\d\d-\d\dT[\d:.]+$/.test(text) ? `${text}Z` : Number.NaN);
  return Number.isNaN(date.getTime()) ? text : date.toISOString();
};

/** Goes on in a header. */
const headerValue = (text: string | null): string | undefined =>
  text !== null && /^[\x20-\x7e]{1,200}$/.test(text) ? text : undefined;

const readText = async (ctx: ParameterizedContext, mediaType: string): Promise<string> => {
  if (ctx.request.type.toLowerCase() !== mediaType || ctx.get('Content-Encoding') !== '') {
    throw new ProblemError(`Send ${mediaType}, without a content encoding.`, {
      status: 415,
      code: 'unsupported_media_type',
    });
  }
  let bytes: Uint8Array;
  try {
    const length = ctx.req.headers['content-length'] ?? null;
    bytes = await rawBody(ctx.req, { limit: maxBytes, length });
  } catch (error) {
    const { status } = Object(error) as { status?: unknown };
    if (status === 413) {
      throw new ProblemError('The body is longer than 64 KiB.', { status, code: 'body_too_large' });
    }
    throw error;
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw notUtf8();
  }
};
