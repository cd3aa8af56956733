import { expect, test } from '@jest/globals';
import { CallerWindows } from '../src/limits/caller-windows.ts';

test('a window begins with a caller’s first request and lasts its length, whenever others have begun', () => {
  const windows = new CallerWindows(1_000);
  const counted = (caller: string, nowMs: number) => ({ ...windows.count(caller, nowMs) });
  expect(counted('a', 0)).toEqual({ used: 1, endsAtMs: 1_000 });
  expect(counted('b', 900)).toEqual({ used: 1, endsAtMs: 1_900 });
  expect(counted('a', 999)).toEqual({ used: 2, endsAtMs: 1_000 });
  expect(counted('a', 1_000)).toEqual({ used: 1, endsAtMs: 2_000 });
  expect(counted('b', 1_899)).toEqual({ used: 2, endsAtMs: 1_900 });
  expect(counted('b', 1_900)).toEqual({ used: 1, endsAtMs: 2_900 });
  expect(counted('a', 1_999)).toEqual({ used: 2, endsAtMs: 2_000 });
  expect(counted('a', 60_000)).toEqual({ used: 1, endsAtMs: 61_000 });
});
