import { randomUUID } from 'node:crypto';
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { setImmediate as turn } from 'node:timers/promises';
import { Kysely, type SqliteDatabase, SqliteAdapter, SqliteDialect, sql } from 'kysely';
import type { RecordFields } from '../record.ts';
import type { PreparedImport, RecordDatabase } from './record-database.ts';
import type { Tables } from './tables.ts';

/** How many records of an import are moved at once: each turn blocks the process for some milliseconds. */
const recordsPerTurn = 2_000;

/** How many are put aside by one call, which costs more than a line. */
const linesPerInsert = 50;

type Parameter = string | number | null;

/** Kysely's dialect is made for better-sqlite3; this is `node:sqlite` in its clothes. */
const asKyselyDatabase = (database: DatabaseSync): SqliteDatabase => ({
  close: () => database.close(),
  prepare: (text) => {
    // A transaction that reads first and then writes would fail if another process wrote in between.
    const statement = database.prepare(text === 'begin' ? 'begin immediate' : text);
    return {
      reader: statement.columns().length > 0,
      all: (parameters) => statement.all(...(parameters as Parameter[])),
      run: (parameters) => {
        // A full disk has ended the transaction by itself; a second end would be the error that is told of.
        if (text === 'rollback' && !database.isTransaction) return { changes: 0, lastInsertRowid: 0 };
        return statement.run(...(parameters as Parameter[]));
      },
      iterate: (parameters) => statement.iterate(...(parameters as Parameter[])),
    };
  },
});

/** Kysely leaves transactions around schema changes out for SQLite, which can do them. */
class TransactionalSqliteDialect extends SqliteDialect {
  override createAdapter(): SqliteAdapter {
    return new (class extends SqliteAdapter {
      override get supportsTransactionalDdl(): boolean {
        return true;
      }
    })();
  }
}

const open = (
  file: string,
  options: { readOnly: boolean; timeout: number },
): { db: Kysely<Tables>; connection: DatabaseSync } => {
  const connection = new DatabaseSync(file, options);
  // FULL: a commit is on the disk before it is acknowledged, whatever becomes of process and machine.
  if (!options.readOnly)
    connection.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA recursive_triggers = ON;');
  return {
    db: new Kysely({ dialect: new TransactionalSqliteDialect({ database: asKyselyDatabase(connection) }) }),
    connection,
  };
};

const stagingPrefix = 'import-';

/**
 * `records.db` below a folder, which is made where it is missing.
 *
 * @param busyTimeoutMs how long to wait for another process, such as a backup; this one stands still meanwhile.
 * @throws {Error} when the folder or the database cannot be used.
 */
export const openSqlite = (folder: string, { busyTimeoutMs = 2_000 } = {}): RecordDatabase => {
  mkdirSync(folder, { recursive: true });
  // Left behind by a process that was killed in the middle of an import.
  for (const name of readdirSync(folder).filter((name) => name.startsWith(stagingPrefix))) {
    rmSync(join(folder, name), { force: true });
  }
  const file = join(folder, 'records.db');
  const writer = open(file, { readOnly: false, timeout: busyTimeoutMs });
  // Two connections: what is read does not wait for a transaction to end.
  const reader = open(file, { readOnly: true, timeout: busyTimeoutMs });
  // Reads the file: one that is no database is found out now.
  for (const { connection } of [writer, reader])
    connection.prepare('SELECT count(*) FROM sqlite_master').get();
  return {
    engine: 'sqlite',
    reads: reader.db,
    writes: writer.db,
    // By `(date, id) > (…)` it would find the date alone: it knows `id` by another name, `rowid`, in its indexes.
    goOn: (list, after) =>
      list
        .where('date', '=', after.date)
        .where('id', '>', after.id)
        .unionAll(list.where('date', '>', after.date)),
    async readLines(page) {
      // Made there, the lines take half the time of objects and their JSON. A subquery with a limit is aggregated in its order.
      const { rows } = await sql<{ lines: string | null }>`
        SELECT group_concat(
          json_object('id', id, 'name', name, 'description', description, 'date', date) || char(10), ''
        ) AS lines FROM (${page}) AS page`.execute(reader.db);
      return rows[0]?.lines ?? '';
    },
    prepareImport: (pages) => stage(writer.db, join(folder, `${stagingPrefix}${randomUUID()}.db`), pages),
    isUnavailable,
    async close() {
      reader.connection.close();
      writer.connection.close();
    },
  };
};

/**
 * Puts an import aside in a database of its own, at the pace of the client; then it is moved within one transaction, at
 * the pace of the disk. Else a slow client would keep all others from writing.
 */
const stage = async (
  writes: Kysely<Tables>,
  file: string,
  pages: AsyncIterable<readonly RecordFields[]>,
): Promise<PreparedImport> => {
  const discard = (): void => rmSync(file, { force: true });
  let count = 0;
  try {
    const staging = new DatabaseSync(file);
    try {
      staging.exec(`PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;
        CREATE TABLE lines (line INTEGER PRIMARY KEY, name TEXT, description TEXT, date TEXT) STRICT`);
      const prepare = (lines: number): StatementSync =>
        staging.prepare(
          `INSERT INTO lines (name, description, date) VALUES ${Array(lines).fill('(?, ?, ?)').join(', ')}`,
        );
      const insert = prepare(linesPerInsert);
      for await (const page of pages) {
        staging.exec('BEGIN');
        for (let first = 0; first < page.length; first += linesPerInsert) {
          const lines = page.slice(first, first + linesPerInsert);
          const values = lines.flatMap(({ name, description, date }) => [name, description, date]);
          (lines.length === linesPerInsert ? insert : prepare(lines.length)).run(...values);
        }
        staging.exec('COMMIT');
        count += page.length;
      }
    } finally {
      staging.close();
    }
  } catch (error) {
    discard();
    throw error;
  }

  return {
    discard,
    connect: (run) =>
      writes.connection().execute(async (db) => {
        await sql`ATTACH ${file} AS staging`.execute(db);
        try {
          return await run(db);
        } finally {
          await sql`DETACH staging`.execute(db);
        }
      }),
    async insert(transaction, writeId) {
      for (let first = 1; first <= count; first += recordsPerTurn) {
        const last = first + recordsPerTurn - 1;
        await sql`INSERT INTO records (name, description, date, version)
          SELECT name, description, date, 1 FROM staging.lines WHERE line BETWEEN ${first} AND ${last} ORDER BY line`.execute(
          transaction,
        );
        // There is one writer, so that the ids have no gaps.
        await sql`INSERT INTO audit_changes (record_id, version, action, write_id)
          SELECT id, 1, 'created', ${writeId} FROM records
          WHERE id > last_insert_rowid() - ${Math.min(recordsPerTurn, count - first + 1)} ORDER BY id`.execute(
          transaction,
        );
        await turn();
      }
      return count;
    },
  };
};

/** Busy, read-only, an I/O error, full, or not to be opened (https://sqlite.org/rescode.html). */
const unavailableCodes = new Set([5, 8, 10, 13, 14]);

const isUnavailable = (error: unknown): boolean => {
  const { errcode } = Object(error) as { errcode?: unknown };
  // Extended codes carry the primary one in their low byte.
  return typeof errcode === 'number' && unavailableCodes.has(errcode & 0xff);
};
