import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import { RecentDigests } from '../src/recent-digests.ts';

beforeEach(() => {
  jest.useFakeTimers();
});
afterEach(() => {
  jest.useRealTimers();
});

test('a token is in memory for a second after its first use, and no longer', () => {
  const digests = new RecentDigests();
  digests.add('token', 'digest');
  jest.advanceTimersByTime(999);
  digests.add('token', 'digest');
  digests.add('later', 'digest');
  expect(digests.get('token')).toBe('digest');
  jest.advanceTimersByTime(1);
  expect([digests.get('token'), digests.get('later')]).toEqual([undefined, undefined]);
  digests.add('token', 'digest');
  expect(digests.get('token')).toBe('digest');
  jest.advanceTimersByTime(1_000);
  expect(digests.get('token')).toBeUndefined();
});

test('not more than a thousand are', () => {
  const digests = new RecentDigests();
  const tokens = Array.from({ length: 1_001 }, (_, index) => `t${index}`);
  for (const token of tokens) digests.add(token, 'digest');
  expect(tokens.filter((token) => digests.get(token) !== undefined)).toHaveLength(1_000);
});
