import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, test } from '@jest/globals';
import { openSqliteRecordStore } from '../src/sqlite-record-store.ts';

const newFolder = (): string => mkdtempSync(join(tmpdir(), 'countersign-'));

describe('openSqliteRecordStore', () => {
  test('makes the folder, with the ten sample records', async () => {
    const store = openSqliteRecordStore(join(newFolder(), 'deep', 'down'));
    const records = await store.list();
    expect(records).toHaveLength(10);
    expect(records[0]).toEqual({
      id: 1,
      name: 'Record 1',
      description: 'Description of Record 1',
      date: '2026-01-01T00:00:00.000Z',
    });
    await store.close();
  });

  test('keeps what is there: samples come once, into a new database', async () => {
    const folder = newFolder();
    await openSqliteRecordStore(folder).close();
    const database = new DatabaseSync(join(folder, 'records.db'));
    database.exec('DELETE FROM records WHERE id > 3');
    database.close();
    const store = openSqliteRecordStore(folder);
    expect(await store.list()).toHaveLength(3);
    await store.close();
    await expect(store.check()).rejects.toThrow();
  });

  test('refuses the database of a newer version, a file that is none, and a folder that cannot be', () => {
    const newer = newFolder();
    const database = new DatabaseSync(join(newer, 'records.db'));
    database.exec('PRAGMA user_version = 99');
    database.close();
    expect(() => openSqliteRecordStore(newer)).toThrow(/schema 99; this version of records-api knows 1/);

    const broken = newFolder();
    writeFileSync(join(broken, 'records.db'), 'not a database'.repeat(100));
    expect(() => openSqliteRecordStore(broken)).toThrow(/not a database/);

    writeFileSync(join(broken, 'file'), '');
    expect(() => openSqliteRecordStore(join(broken, 'file'))).toThrow(/EEXIST/);
  });
});
