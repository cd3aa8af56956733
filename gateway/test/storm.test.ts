import { expect, test } from '@jest/globals';
import { storm } from './storm/storm.ts';

// `npm run storm:gateway` does the same with 100,000 connections.
test.concurrent.each(['http1', 'undici'] as const)(
  '2,000 hostile connections each end as they should, leave nothing behind, and hold nobody else up: %s',
  async (transport) => {
    const { descriptors, smuggled, unexpected, bystanders, exitCode } = await storm(2_000, transport);
    expect(unexpected).toEqual({});
    expect(descriptors.after).toBeLessThanOrEqual(descriptors.before + 5);
    expect(smuggled).toBe(0);
    expect(Object.keys(bystanders)).toEqual(['200 ok']);
    expect(exitCode).toBe(0);
  },
  120_000,
);
