import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import { createRecentDigests } from '../src/recent-digests.ts';

beforeEach(() => {
  jest.useFakeTimers();
});
afterEach(() => {
  jest.useRealTimers();
});

test('a token is in memory for a second after its first use, and no longer', () => {
  const digests = createRecentDigests();
  digests.add('token', 'digest of token');
  jest.advanceTimersByTime(999);
  digests.add('token', 'digest of token');
  digests.add('later', 'digest of later');
  expect(['token', 'later', 'token', 'other'].map((token) => digests.get(token))).toEqual([
    'digest of token',
    'digest of later',
    'digest of token',
    undefined,
  ]);
  jest.advanceTimersByTime(1);
  expect([digests.get('token'), digests.get('later')]).toEqual([undefined, undefined]);
  digests.add('token', 'digest of token');
  expect(digests.get('token')).toBe('digest of token');
  jest.advanceTimersByTime(1_000);
  expect(digests.get('token')).toBeUndefined();
});

test('not more than a thousand are', () => {
  const digests = createRecentDigests();
  const tokens = Array.from({ length: 1_001 }, (_, index) => `t${index}`);
  for (const token of tokens) digests.add(token, `digest of ${token}`);
  expect(tokens.filter((token) => digests.get(token) === `digest of ${token}`)).toHaveLength(1_000);
});
