import { describe, expect, test } from '@jest/globals';
import { SortedRequestHeaders } from '../src/headers/request-headers.ts';
import { sortResponseHeaders } from '../src/headers/response-headers.ts';

/** The least of several times, in milliseconds: what else the machine does only adds to it. */
const leastMs = (run: () => unknown): number => {
  const times = Array.from({ length: 20 }, () => {
    const startMs = performance.now();
    run();
    return performance.now() - startMs;
  });
  return Math.min(...times);
};

describe('as many headers as fit into 16 KiB cost what their bytes cost', () => {
  const names = Array.from({ length: 950 }, (_, index) => `h${index}`);
  const oneLine = ['Connection', names.join(',')];
  const manyLines = names.flatMap((name) => ['Connection', name]);

  test.each<[string, (headers: string[]) => unknown]>([
    ['requests', (headers) => new SortedRequestHeaders(headers)],
    ['answers', (headers) => sortResponseHeaders(headers)],
  ])('Connection in many lines, of %s', (_, sort) => {
    expect(leastMs(() => sort(manyLines))).toBeLessThan(10 * leastMs(() => sort(oneLine)));
  });

  test('what all the lines name is left out', () => {
    expect([...(new SortedRequestHeaders(['Connection', 'close', ...manyLines]).named ?? [])]).toEqual(names);
    const answer = sortResponseHeaders([...names.flatMap((name) => [name, '1']), ...manyLines, 'X-A', 'b']);
    expect(answer.headers).toEqual(['X-A', 'b']);
  });
});
