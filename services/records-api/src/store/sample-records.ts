import type { RecordFields } from '../record.ts';

/** The ten records that a new database starts with. */
export const sampleRecords: readonly RecordFields[] = Array.from({ length: 10 }, (_, index) => ({
  name: `Record ${index + 1}`,
  description: `Description of Record ${index + 1}`,
  date: new Date(Date.UTC(2026, 0, index + 1)).toISOString(),
}));
