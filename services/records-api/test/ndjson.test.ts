import { expect, test } from '@jest/globals';
import * as fc from 'fast-check';
import { type Line, readLines } from '../src/ndjson.ts';

const maxLineBytes = 12;

const linesOf = async (chunks: readonly Buffer[]): Promise<Line[]> => {
  const lines: Line[] = [];
  const source = async function* arriving(): AsyncGenerator<Buffer> {
    yield* chunks;
  };
  for await (const some of readLines(source(), maxLineBytes)) lines.push(...some);
  return lines;
};

/** The same of a whole body, a line at a time. */
const expectedOf = (body: Buffer): Line[] =>
  body
    .toString('latin1')
    .split('\n')
    .map((line) => Buffer.from(line, 'latin1'))
    .map((bytes, index) => {
      const text = new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
      const isText = bytes.length <= maxLineBytes && Buffer.from(text).equals(bytes);
      return { number: index + 1, text: isText ? text.replace(/\r$/, '') : undefined };
    })
    .filter(({ text }) => text !== '');

test('lines are the same however they arrive', async () => {
  const part = fc
    .constantFrom('a', '{}', 'é', '🎉', '\uFEFF', '\r', '\n', '\n', '\r\n', 'longer than that')
    .map((text) => Buffer.from(text));
  const broken = fc.constantFrom([0xff], [0xc3], [0xf0, 0x9f]).map((bytes) => Buffer.from(bytes));
  const body = fc
    .array(fc.oneof({ arbitrary: part, weight: 12 }, { arbitrary: broken, weight: 1 }), { maxLength: 60 })
    .map((parts) => Buffer.concat(parts));
  await fc.assert(
    fc.asyncProperty(
      body,
      fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }),
      async (bytes, sizes) => {
        const chunks: Buffer[] = [];
        for (let start = 0; start < bytes.length; start += chunks.at(-1)?.length ?? 0)
          chunks.push(bytes.subarray(start, start + (sizes[chunks.length % sizes.length] as number)));
        expect(await linesOf(chunks)).toEqual(expectedOf(bytes));
      },
    ),
    { numRuns: 2_000 },
  );
});
