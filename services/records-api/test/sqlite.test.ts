import { mkdtempSync, readdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, test } from '@jest/globals';
import { sql } from 'kysely';
import { createRecordStore } from '../src/store/create-record-store.ts';
import { migrate } from '../src/store/migrations.ts';
import { openSqlite } from '../src/store/sqlite.ts';
import { recordStoreContract, writer } from './record-store-contract.ts';
import { slowImports } from './slow-imports.ts';

const newFolder = (): string => mkdtempSync(join(tmpdir(), 'countersign-'));

describe('SQLite', () => {
  recordStoreContract(async () => openSqlite(join(newFolder(), 'deep', 'down')));
  slowImports(async () => openSqlite(newFolder()));
});

test('a database of 0.1.0 keeps its records, which get versions', async () => {
  const folder = newFolder();
  const old = new DatabaseSync(join(folder, 'records.db'));
  old.exec(`CREATE TABLE records (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, description TEXT NOT NULL,
    date TEXT NOT NULL) STRICT;
    INSERT INTO records VALUES (7, 'old', 'one', '2026-01-01T00:00:00.000Z');
    PRAGMA user_version = 1;`);
  old.close();
  const database = openSqlite(folder);
  await migrate(database.writes, 'sqlite');
  const store = createRecordStore(database);
  expect(await store.list({}, 10)).toMatchObject([{ id: 7, name: 'old' }]);
  expect(await store.get(7)).toMatchObject({ version: 1 });
  await store.close();
  await expect(store.check()).rejects.toThrow();
});

test('what an import left behind that was killed is removed; an import itself leaves nothing', async () => {
  const folder = newFolder();
  writeFileSync(join(folder, 'import-abandoned.db'), '');
  const database = openSqlite(folder);
  await migrate(database.writes, 'sqlite');
  const store = createRecordStore(database);
  await store.import(
    (async function* () {
      yield [{ name: 'a', description: '', date: '2026-01-01T00:00:00.000Z' }];
    })(),
    writer,
  );
  expect(readdirSync(folder).filter((name) => name.startsWith('import-'))).toEqual([]);
  await store.close();
});

test('another process that holds the database is a 503 with Retry-After', async () => {
  const folder = newFolder();
  const database = openSqlite(folder, { busyTimeoutMs: 1 });
  await migrate(database.writes, 'sqlite');
  const store = createRecordStore(database);
  const other = new DatabaseSync(join(folder, 'records.db'));
  other.exec('BEGIN IMMEDIATE');
  await expect(
    store.create({ name: 'a', description: '', date: '2026-01-01T00:00:00.000Z' }, writer),
  ).rejects.toMatchObject({ status: 503, headers: { 'Retry-After': '1' } });
  other.close();
  await store.close();
});

test('why a transaction failed is told, and not that it cannot be rolled back', async () => {
  const database = openSqlite(newFolder());
  await migrate(database.writes, 'sqlite');
  const store = createRecordStore(database);
  const record = { name: 'a', description: '', date: '2026-01-01T00:00:00.000Z' };
  const { answer } = await store.create(record, writer);
  // A full disk ends a transaction as this does.
  await sql`CREATE TRIGGER full BEFORE INSERT ON records BEGIN SELECT RAISE(ROLLBACK, 'disk is full'); END`.execute(
    database.writes,
  );
  await expect(store.create(record, writer)).rejects.toThrow('disk is full');
  const closeAndRefuse = (): never => {
    void database.close();
    throw new Error('refused');
  };
  await expect(store.change(answer.record.id, writer, closeAndRefuse)).rejects.toThrow('refused');
});

test('a file that is no database, and a folder that cannot be, are refused', () => {
  const broken = newFolder();
  writeFileSync(join(broken, 'records.db'), 'not a database'.repeat(100));
  expect(() => openSqlite(broken)).toThrow(/not a database/);
  writeFileSync(join(broken, 'file'), '');
  expect(() => openSqlite(join(broken, 'file'))).toThrow(/EEXIST|ENOTDIR/);
});
