import { expect, test } from '@jest/globals';
import { createAdmission } from '../src/upstream/admission.ts';

const one = { maxInFlight: 1, maxInFlightPerCaller: 1, maxQueued: 4, maxQueueMs: 60_000 };

test('who has waited too long is told so', async () => {
  const admission = createAdmission({ ...one, maxQueueMs: 1 });
  expect(admission.tryEnter('a')).toBe(true);
  expect(await admission.enter('b')).toBe('queue_timeout');
  admission.leave('a');
  expect(admission).toMatchObject({ inFlight: 0, queued: 0 });
});

test('a caller who fills its half of the queue leaves the other half to others', async () => {
  const admission = createAdmission(one);
  admission.tryEnter('a');
  const waiting = [admission.enter('a'), admission.enter('a')];
  expect(await admission.enter('a')).toBe('queue_full');
  const other = admission.enter('b');
  expect(admission.queued).toBe(3);
  for (const caller of ['a', 'a', 'a', 'b']) admission.leave(caller);
  expect(await Promise.all([...waiting, other])).toEqual([undefined, undefined, undefined]);
  expect(admission).toMatchObject({ inFlight: 0, queued: 0 });
});

test('a caller who has its share of the places waits, and others do not', async () => {
  const admission = createAdmission({ ...one, maxInFlight: 3, maxInFlightPerCaller: 2, maxQueued: 2 });
  const enter = (caller: string) => admission.tryEnter(caller);
  expect([enter('a'), enter('a'), enter('a')]).toEqual([true, true, false]);
  const third = admission.enter('a');
  expect([enter('b'), enter('b')]).toEqual([true, false]);
  const second = admission.enter('b');
  expect(await admission.enter('c')).toBe('queue_full');
  // The one who has waited longest may not have this place, and the next one may.
  admission.leave('b');
  expect(await second).toBeUndefined();
  expect(admission).toMatchObject({ inFlight: 3, queued: 1 });
  admission.leave('a');
  expect(await third).toBeUndefined();
  for (const caller of ['a', 'a', 'b']) admission.leave(caller);
  expect(admission).toMatchObject({ inFlight: 0, queued: 0 });
  expect([enter('a'), enter('a'), enter('a')]).toEqual([true, true, false]);
});
