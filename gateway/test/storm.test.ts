import { expect, test } from '@jest/globals';
import { storm } from './storm/storm.ts';

// `npm run storm:gateway` does the same with 100,000 connections.
test('2,000 hostile connections leave nothing behind, and hold nobody else up', async () => {
  const { descriptors, smuggled, bystanders, exitCode } = await storm(2_000);
  expect(descriptors.after).toBeLessThanOrEqual(descriptors.before + 5);
  expect(smuggled).toBe(0);
  expect(Object.keys(bystanders)).toEqual(['200 ok']);
  expect(exitCode).toBe(0);
}, 120_000);
