import { expect, test } from '@jest/globals';
import { startRecordsProcess } from './records-process.ts';
import { doubled, storedNames, writeStorm } from './records-storm.ts';

test('SQLite: kill -9 in a write storm loses no acknowledged write and doubles none', async () => {
  await using api = await startRecordsProcess();
  const kills = [40, 90, 150];
  const storm = await writeStorm(api, 200, new Map(kills.map((count) => [count, api.killAndRestart])));
  expect(storm.acknowledged).toHaveLength(200);
  expect(storm.broken).toBeGreaterThan(0);
  expect(storm.refusals).toEqual([]);
  const names = await storedNames(api);
  expect(doubled(names)).toEqual([]);
  expect(new Set(names)).toEqual(new Set(storm.acknowledged));
});

test('SQLite: kill -9 in the middle of an import leaves nothing of it', async () => {
  await using api = await startRecordsProcess();
  const line = `${JSON.stringify({ name: 'storm', description: '', date: '2026-01-01T00:00:00Z' })}\n`;
  let restarted: Promise<void> | undefined;
  const lines = async function* (): AsyncGenerator<Uint8Array> {
    yield Buffer.from(line.repeat(20_000));
    restarted = api.killAndRestart();
    await restarted;
  };
  const sending = fetch(`${api.url}/api/records/import`, {
    method: 'POST',
    headers: { authorization: `Bearer ${api.token}`, 'content-type': 'application/x-ndjson' },
    body: lines(),
    duplex: 'half',
  });
  await expect(sending).rejects.toThrow();
  await restarted;
  expect(await storedNames(api)).toEqual([]);
});

test('the service does not start on a database without migrations, and says what to do', async () => {
  const starting = startRecordsProcess({ DATA_FOLDER: '/dev/null/nowhere' });
  await expect(starting).rejects.toThrow(
    /was not prepared.*DATA_FOLDER \/dev\/null\/nowhere cannot hold the records/,
  );
});
