import { isUtf8 } from 'node:buffer';
import { Readable } from 'node:stream';

export interface Line {
  /** From 1. */
  number: number;
  /** Undefined when it is no UTF-8, or longer than the limit. */
  text: string | undefined;
}

const newline = 0x0a;

/**
 * The lines of a body, as many at a time as arrive together, which may be none. Empty ones are left out but counted.
 *
 * @param maxLineBytes what is longer is not kept
 */
export async function* readLines(
  source: AsyncIterable<Buffer>,
  maxLineBytes: number,
): AsyncGenerator<Line[]> {
  let number = 0;
  let rest: Buffer[] = [];
  let restBytes = 0;
  const toLine = (bytes: Buffer, isTooLong: boolean): Line[] => {
    number += 1;
    const end = bytes.at(-1) === 0x0d ? bytes.length - 1 : bytes.length;
    if (end === 0) return [];
    const isText = !isTooLong && isUtf8(bytes);
    return [{ number, text: isText ? bytes.toString('utf8', 0, end) : undefined }];
  };
  for await (const chunk of source) {
    const lines: Line[] = [];
    let start = 0;
    for (let end = chunk.indexOf(newline); end !== -1; end = chunk.indexOf(newline, start)) {
      const part = chunk.subarray(start, end);
      const bytes = rest.length === 0 ? part : Buffer.concat([...rest, part]);
      lines.push(...toLine(bytes, restBytes + part.length > maxLineBytes));
      rest = [];
      restBytes = 0;
      start = end + 1;
    }
    const part = chunk.subarray(start);
    restBytes += part.length;
    if (part.length > 0 && restBytes <= maxLineBytes) rest.push(part);
    yield lines;
  }
  if (restBytes > 0) yield toLine(Buffer.concat(rest), restBytes > maxLineBytes);
}

/** A stream of texts that is read only as fast as it is taken. */
export const streamOf = (texts: AsyncIterable<string>): Readable =>
  Readable.from(texts, { objectMode: true, highWaterMark: 1 });
