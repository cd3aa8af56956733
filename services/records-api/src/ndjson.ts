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
  const keep = (bytes: Buffer): void => {
    restBytes += bytes.length;
    if (bytes.length > 0 && restBytes <= maxLineBytes) rest.push(bytes);
  };
  /** The text of a line that ends here and may have begun in an earlier chunk. */
  const complete = (bytes: Buffer): string | undefined => {
    keep(bytes);
    const text = restBytes > maxLineBytes ? undefined : textOf(Buffer.concat(rest));
    rest = [];
    restBytes = 0;
    return text;
  };
  /** Decoded together if all of it is UTF-8: one call for each line costs more than the check. */
  const textsOf = (bytes: Buffer): (string | undefined)[] => {
    if (!isUtf8(bytes))
      return splitBytes(bytes).map((line) => (line.length > maxLineBytes ? undefined : textOf(line)));
    const texts = bytes.toString().split('\n');
    return bytes.length <= maxLineBytes
      ? texts
      : texts.map((text) => (Buffer.byteLength(text) > maxLineBytes ? undefined : text));
  };
  const toLines = (texts: readonly (string | undefined)[]): Line[] => {
    const lines: Line[] = [];
    for (const whole of texts) {
      number += 1;
      const text = whole?.endsWith('\r') ? whole.slice(0, -1) : whole;
      if (text !== '') lines.push({ number, text });
    }
    return lines;
  };
  for await (const chunk of source) {
    const first = chunk.indexOf(newline);
    const last = chunk.lastIndexOf(newline);
    const begun = first === -1 ? [] : [complete(chunk.subarray(0, first))];
    const whole = last > first ? textsOf(chunk.subarray(first + 1, last)) : [];
    keep(chunk.subarray(last + 1));
    yield toLines([...begun, ...whole]);
  }
  if (restBytes > 0) yield toLines([complete(Buffer.alloc(0))]);
}

const textOf = (bytes: Buffer): string | undefined => (isUtf8(bytes) ? bytes.toString() : undefined);

const splitBytes = (bytes: Buffer): Buffer[] => {
  const lines: Buffer[] = [];
  let start = 0;
  for (let end = bytes.indexOf(newline); end !== -1; end = bytes.indexOf(newline, start)) {
    lines.push(bytes.subarray(start, end));
    start = end + 1;
  }
  return [...lines, bytes.subarray(start)];
};

/** A stream of texts that is read only as fast as it is taken. */
export const streamOf = (texts: AsyncIterable<string>): Readable =>
  Readable.from(texts, { objectMode: true, highWaterMark: 1 });
