import type { RecordEntry } from './record-store.ts';

/** The ten records that a new store starts with. */
export const sampleRecords: readonly RecordEntry[] = Array.from({ length: 10 }, (_, index) => ({
  id: index + 1,
  name: `Record ${index + 1}`,
  description: `Description of Record ${index + 1}`,
  date: new Date(Date.UTC(2026, 0, index + 1)).toISOString(),
}));
