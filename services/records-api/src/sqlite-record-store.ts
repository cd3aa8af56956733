import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { RecordEntry, RecordStore } from './record-store.ts';
import { sampleRecords } from './sample-records.ts';

const schemaVersion = 1;

/**
 * Records in `records.db` below a folder, which is made where it is missing. A new database gets the sample records.
 *
 * @throws {Error} when the folder or the database cannot be written, or a newer version of this service made it.
 */
export const openSqliteRecordStore = (folder: string): RecordStore => {
  mkdirSync(folder, { recursive: true });
  const database = new DatabaseSync(join(folder, 'records.db'), { timeout: 5_000 });
  database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;');
  createSchema(database);
  const list = database.prepare('SELECT id, name, description, date FROM records ORDER BY id');
  const check = database.prepare('SELECT 1');

  return {
    async list() {
      // Rows of node:sqlite have no prototype; answers are made of plain objects.
      return list.all().map((row) => ({ ...row }) as unknown as RecordEntry);
    },
    async check() {
      check.get();
    },
    async close() {
      database.close();
    },
  };
};

const createSchema = (database: DatabaseSync): void => {
  database.exec('BEGIN IMMEDIATE');
  try {
    const version = Number(database.prepare('PRAGMA user_version').get()?.['user_version']);
    if (version > schemaVersion) {
      throw new Error(`records.db has schema ${version}; this version of records-api knows ${schemaVersion}`);
    }
    if (version === 0) {
      database.exec(`
        CREATE TABLE records (
          id INTEGER PRIMARY KEY AUTOINCREMENT,
          name TEXT NOT NULL,
          description TEXT NOT NULL,
          date TEXT NOT NULL
        ) STRICT;
        PRAGMA user_version = ${schemaVersion};
      `);
      const insert = database.prepare(
        'INSERT INTO records (id, name, description, date) VALUES (?, ?, ?, ?)',
      );
      for (const { id, name, description, date } of sampleRecords) insert.run(id, name, description, date);
    }
    database.exec('COMMIT');
  } catch (error) {
    database.exec('ROLLBACK');
    throw error;
  }
};
