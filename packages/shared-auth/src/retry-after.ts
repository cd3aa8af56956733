import { randomInt } from 'node:crypto';

/** Longest wait that another side's `Retry-After` is believed for, in seconds. */
export const maxRetryAfterSeconds = 300;

/**
 * Whole seconds to wait according to a `Retry-After` header (RFC 9110 §10.2.3), between 1 and
 * {@link maxRetryAfterSeconds}; undefined without one that can be read.
 */
export const parseRetryAfter = (header: string | undefined, nowMs: number): number | undefined => {
  if (header === undefined || header.trim() === '') return undefined;
  const seconds = /^\d+$/.test(header.trim())
    ? Number(header)
    : Math.ceil((Date.parse(header) - nowMs) / 1000);
  if (Number.isNaN(seconds)) return undefined;
  return Math.min(Math.max(seconds, 1), maxRetryAfterSeconds);
};

/** A wait for when nobody said how long: spread, so that callers do not come back together. */
export const spreadRetryAfter = (): number => randomInt(5, 11);
