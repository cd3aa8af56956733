import type { Transform } from 'node:stream';
import { constants, createBrotliCompress, createGzip } from 'node:zlib';
import compressible from 'compressible';

export type Coding = 'br' | 'gzip';

/** Below this there is nothing to win. */
const smallestBytes = 1_024;

const brotliParams = {
  // The default of 11 is for files that are compressed once.
  [constants.BROTLI_PARAM_QUALITY]: 4,
  // In bits. An encoder takes 1.2 MiB; with the default of 22 it is 5.8, for answers that are at most 4 % shorter.
  [constants.BROTLI_PARAM_LGWIN]: 16,
};

const createEncoder = (coding: Coding): Transform =>
  coding === 'br' ? createBrotliCompress({ params: brotliParams }) : createGzip();

/** What is said of the bytes that the upstream sent, which are not those that the client gets. */
export const ofUpstreamsBytes: ReadonlySet<string> = new Set([
  'content-length',
  'accept-ranges', // of ranges of them
  'content-digest', // RFC 9530 §2: of the body as it is sent
  'repr-digest', // RFC 9530 §3: of the representation, its coding included
  'digest', // the same, of RFC 3230
  'content-md5', // RFC 1864, the oldest of them
]);

/**
 * Makes the encoder for an answer that is worth it, and changes its headers accordingly: text with a body of some length
 * that is whole, not encoded yet, and not forbidden to change (`no-transform`, RFC 9111 §5.2.2.6). An event stream has to
 * arrive event by event. A 304 has no body, and the validator that its 200 would have: without a type it may be of text.
 * HEAD has the headers of GET.
 *
 * @param headers of the answer, a flat list
 * @param coding what the client takes; undefined when none that is known here
 * @returns undefined when the answer goes out as it is
 */
export const encodeAnswer = (
  method: string | undefined,
  status: number,
  headers: string[],
  coding: Coding | undefined,
): Transform | undefined => {
  const values = valuesByName(headers);
  const type = values.get('content-type') ?? '';
  const length = values.get('content-length');
  const isNotModified = status === 304;
  const mayBeText = compressible(type) || (isNotModified && type === '');
  if (status === 204 || !mayBeText || type.startsWith('text/event-stream')) return undefined;
  // A cache must not give the one form to a client that asked for the other.
  headers.push('Vary', 'Accept-Encoding');
  const isLeft =
    coding === undefined ||
    status === 206 ||
    values.has('content-encoding') ||
    /\bno-transform\b/i.test(values.get('cache-control') ?? '') ||
    (length !== undefined && Number(length) < smallestBytes);
  if (isLeft) return undefined;
  for (let index = headers.length - 2; index >= 0; index -= 2) {
    const key = (headers[index] as string).toLowerCase();
    if (ofUpstreamsBytes.has(key)) headers.splice(index, 2);
    // RFC 9110 §8.8.1: other bytes with the same meaning share a weak validator alone.
    else if (key === 'etag' && headers[index + 1]?.startsWith('"'))
      headers[index + 1] = `W/${headers[index + 1]}`;
  }
  if (isNotModified) return undefined;
  headers.push('Content-Encoding', coding);
  return method === 'HEAD' ? undefined : createEncoder(coding);
};

const valuesByName = (headers: readonly string[]): Map<string, string> => {
  const values = new Map<string, string>();
  for (let index = 0; index < headers.length; index += 2)
    values.set((headers[index] as string).toLowerCase(), headers[index + 1] as string);
  return values;
};
