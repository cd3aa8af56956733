import type { Kysely, SelectQueryBuilder, Transaction } from 'kysely';
import type { RecordEntry, RecordFields } from '../record.ts';
import type { Position } from '../record-store.ts';
import type { Engine } from './migrations.ts';
import type { Tables } from './tables.ts';

/** A page of an import, written. */
export interface PreparedImport {
  /** Runs what the import's transaction is made in. */
  connect<Result>(run: (db: Kysely<Tables>) => Promise<Result>): Promise<Result>;
  /** Creates the records and their entries in `audit_changes`; resolves to how many. */
  insert(transaction: Transaction<Tables>, writeId: number): Promise<number>;
  /** Removes what was put aside. */
  discard(): void;
}

/** A query of records. */
export type RecordList = SelectQueryBuilder<Tables, 'records', RecordEntry>;

/** What the two databases do not have in common. */
export interface RecordDatabase {
  engine: Engine;
  reads: Kysely<Tables>;
  writes: Kysely<Tables>;
  /** What is behind a position in the order of date and id, found by the index for that. */
  goOn: (list: RecordList, after: Position) => RecordList;
  /** A page, each record as JSON on a line of its own. */
  readLines(page: RecordList): Promise<string>;
  /** Takes the pages in, as far as that is possible without holding up other writes. */
  prepareImport(pages: AsyncIterable<readonly RecordFields[]>): Promise<PreparedImport>;
  /** Of the pool, if there is one. */
  connections?: () => { idle: number; used: number; waiting: number; most: number };
  /** Whether an error says that the database cannot be used now. */
  isUnavailable(error: unknown): boolean;
  close(): Promise<void>;
}
