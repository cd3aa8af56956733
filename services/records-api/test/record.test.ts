import { describe, expect, test } from '@jest/globals';
import * as fc from 'fast-check';
import { recordFields } from '../src/record.ts';

const read = (date: string): string | undefined =>
  recordFields.safeParse({ name: 'a', description: '', date }).data?.date;

describe('a date', () => {
  const moment = fc.date({
    min: new Date('0001-01-02'),
    max: new Date('9999-12-30'),
    noInvalidDate: true,
  });
  const pad = (value: number): string => String(value).padStart(2, '0');
  const offset = fc
    .tuple(fc.constantFrom('+', '-'), fc.integer({ min: 0, max: 23 }), fc.integer({ min: 0, max: 59 }))
    .map(([sign, hours, minutes]) => `${sign}${pad(hours)}:${pad(minutes)}`);

  test('in UTC with milliseconds stays as it is', () => {
    fc.assert(fc.property(moment, (date) => expect(read(date.toISOString())).toBe(date.toISOString())));
  });

  test('with an offset or another precision becomes the same moment in UTC', () => {
    const form = fc.constantFrom(':30', ':30.5', ':30.123456');
    fc.assert(
      fc.property(moment, form, fc.oneof(offset, fc.constant('Z')), (date, seconds, zone) => {
        const text = `${date.toISOString().slice(0, 16)}${seconds}${zone}`;
        expect(read(text)).toBe(new Date(text).toISOString());
      }),
    );
  });

  test.each([
    '0000-12-31T23:59:59.999Z',
    '2026-00-01T00:00:00.000Z',
    '2026-13-01T00:00:00.000Z',
    '2026-02-30T00:00:00.000Z',
    '2025-02-29T00:00:00.000Z',
    '1900-02-29T00:00:00.000Z',
    '2026-01-01T24:00:00.000Z',
    '2026-01-01T00:60:00.000Z',
    '2026-01-01T00:00:60.000Z',
    '0001-01-01T00:00:00+00:01',
    '9999-12-31T23:59:59-00:01',
  ])('%s is refused', (date) => {
    expect(read(date)).toBeUndefined();
  });
});
