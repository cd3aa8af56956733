import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { takeToken } from '@countersign/cli';
import { exportJob, spawnJob } from '../tests/system/caller-job.ts';
import { startTestSystem, type TestSystem } from '../tests/system/test-system.ts';
import { createRecordsCaller } from './records-caller.ts';
import { peaksWhile, residentMegabytes } from './resident-memory.ts';

/** Runs `caller-api --once export` into a file. @returns the most memory that it took, in MiB */
const exportByJob = async (system: TestSystem, heap: Record<string, string>): Promise<number> => {
  const output = openSync(join(system.dataFolder, 'export.ndjson'), 'w');
  const child = spawnJob(system, exportJob, heap, ['ignore', output, 'inherit']);
  closeSync(output);
  const [peak = 0] = await peaksWhile([child.pid as number], async () => {
    const [code] = (await once(child, 'close')) as [number | null];
    if (code !== 0) throw new Error(`caller-api --once export ended with ${code}`);
  });
  return peak;
};

/**
 * How much each process of the whole system grows, in MiB, by an import and an export through the gateway, and the nightly
 * export by an export of so many more records.
 */
export const growthOnTheWay = async (
  count: number,
  warmUpCount: number,
  heap: Record<string, string>,
): Promise<Record<string, number>> => {
  const names = ['gateway', 'records-api', 'caller-api', 'local-entra'];
  await using system = await startTestSystem({
    settings: Object.fromEntries(names.map((name) => [name, heap])),
  });
  const token = await takeToken('api2', system.dataFolder);
  const caller = createRecordsCaller({ url: system.gatewayUrl, token });
  await caller.importRecords(warmUpCount);
  await caller.exportRecords(0);
  const small = await exportByJob(system, heap);
  const pids = names.map((name) => system.service(name).child.pid as number);
  const before = pids.map(residentMegabytes);
  const peaks = await peaksWhile(pids, async () => {
    await caller.importRecords(count);
    await caller.exportRecords(0);
  });
  const large = await exportByJob(system, heap);
  await caller.close();
  return {
    ...Object.fromEntries(
      names.map((name, index) => [name, Math.round((peaks[index] as number) - (before[index] as number))]),
    ),
    'caller-api --once export': Math.round(large - small),
  };
};
