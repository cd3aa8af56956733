import type { Expression, Kysely, SelectQueryBuilder, Transaction } from 'kysely';
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

/** A query of records, not yet run. */
export interface RecordQuery extends Expression<RecordEntry> {
  execute(): Promise<RecordEntry[]>;
}

/** Records in the order of date and id. */
export type RecordList = SelectQueryBuilder<Tables, 'records', RecordEntry>;

/** What the two databases do not have in common. */
export interface RecordDatabase {
  engine: Engine;
  reads: Kysely<Tables>;
  writes: Kysely<Tables>;
  /** As many as `limit` behind a position, found by their index. */
  goOn: (list: RecordList, after: Position, limit: number) => RecordQuery;
  /** What a query finds, each record as JSON on a line of its own. */
  readLines(query: RecordQuery): Promise<string>;
  /** Takes the pages in, as far as that is possible without holding up other writes. */
  prepareImport(pages: AsyncIterable<readonly RecordFields[]>): Promise<PreparedImport>;
  /** Of the pool, if there is one. */
  connections?: () => { idle: number; used: number; waiting: number; most: number };
  /** Whether an error says that the database cannot be used now. */
  isUnavailable(error: unknown): boolean;
  close(): Promise<void>;
}
