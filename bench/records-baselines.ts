/** What the databases do with the same million records when nobody stands in front of them. In milliseconds. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Client } from 'pg';

export interface Baseline {
  importMs: number;
  exportMs: number;
}

const timed = async (work: () => unknown): Promise<number> => {
  const startMs = performance.now();
  await work();
  return performance.now() - startMs;
};

/** A loop over one prepared statement in one transaction, and one that reads all rows as JSON. */
export const sqliteLoop = async (count: number): Promise<Baseline> => {
  const folder = mkdtempSync(join(tmpdir(), 'countersign-'));
  const database = new DatabaseSync(join(folder, 'loop.db'));
  database.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
    CREATE TABLE records (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, description TEXT NOT NULL,
      date TEXT NOT NULL, version INTEGER NOT NULL DEFAULT 1) STRICT;
    CREATE INDEX records_by_date ON records (date, id);
    CREATE INDEX records_by_name ON records (name, date, id);`);
  const insert = database.prepare('INSERT INTO records (name, description, date) VALUES (?, ?, ?)');
  const importMs = await timed(() => {
    database.exec('BEGIN');
    for (let serial = 0; serial < count; serial += 1)
      insert.run(`Bench ${serial}`, `Description of ${serial}`, '2026-01-01T00:00:00.000Z');
    database.exec('COMMIT');
  });
  let bytes = 0;
  const exportMs = await timed(() => {
    for (const row of database.prepare('SELECT id, name, description, date FROM records').iterate())
      bytes += JSON.stringify(row).length;
  });
  database.close();
  rmSync(folder, { recursive: true });
  if (bytes < count) throw new Error('the loop has read nothing');
  return { importMs, exportMs };
};

/** The pages that an export from PostgreSQL is made of, by a loop within the server, which sends them to nobody. */
const pages = `DO $$
DECLARE
  last bigint := 0;
  lines text;
  bytes bigint := 0;
BEGIN
  LOOP
    SELECT string_agg(row_to_json(line)::text || E'\\n', ''), max(line.id) INTO lines, last FROM (
      SELECT id, name, description, to_char(date AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS date
      FROM (SELECT * FROM records WHERE id > last ORDER BY id LIMIT 1000) AS page
    ) AS line;
    EXIT WHEN last IS NULL;
    bytes := bytes + length(lines);
  END LOOP;
  IF bytes < (SELECT count(*) FROM records) OR bytes = 0 THEN
    RAISE EXCEPTION 'the loop has read nothing';
  END IF;
END $$`;

/**
 * `COPY` of what is in `records`, to a file of the server and from there into a table with the same indexes, and the pages of an
 * export without who asks for them.
 */
export const postgresCopy = async (
  connection: ConstructorParameters<typeof Client>[0],
): Promise<Baseline & { pagesMs: number }> => {
  const client = new Client(connection);
  await client.connect();
  const exportMs = await timed(() =>
    client.query(`COPY (SELECT name, description, date FROM records) TO '/tmp/records'`),
  );
  const pagesMs = await timed(() => client.query(pages));
  await client.query('CREATE TABLE copied (LIKE records INCLUDING ALL)');
  const importMs = await timed(() =>
    client.query(`COPY copied (name, description, date) FROM '/tmp/records'`),
  );
  await client.query('DROP TABLE copied');
  await client.end();
  return { importMs, exportMs, pagesMs };
};
