import { ProblemError } from '@countersign/service-kit';
import type { RecordChange, RecordEntry, RecordFields, RecordFilter } from './record.ts';

export interface StoredRecord {
  record: RecordEntry;
  /** 1 when it is created, one more with each change. */
  version: number;
}

/** Who writes: goes into the audit tables with each write. */
export interface Writer {
  applicationId: string;
  objectId: string;
  tenantId: string;
  tokenId: string;
  requestId: string;
}

/** Where a list goes on: behind this record. */
export type Position = Pick<RecordEntry, 'id' | 'date'>;

/** Makes a write happen once, however often it is asked for. */
export interface IdempotencyKey {
  key: string;
  /** Tells requests under one key apart. Asked for when the whole request is known. */
  fingerprint: () => string;
}

export interface Outcome<Answer> {
  answer: Answer;
  /** Whether this is the answer of an earlier write under the same key, and nothing was written. */
  isReplay: boolean;
}

/**
 * Where records are kept. A write is durable when its method resolves, and is in the history in the same transaction.
 * Every method rejects with {@link storageUnavailable} when the storage cannot be reached.
 */
export interface RecordStore {
  /**
   * At most `limit` records: by id without a filter, else by date and then id. Either way each page costs the same,
   * however many come before it.
   */
  list(filter: RecordFilter, limit: number, after?: Position): Promise<RecordEntry[]>;
  /** The same as lines of JSON, in the order of {@link RecordEntry}'s members; empty when there are none. */
  export(filter: RecordFilter, limit: number, after?: Position): Promise<string>;
  get(id: number): Promise<StoredRecord | undefined>;
  create(fields: RecordFields, writer: Writer, once?: IdempotencyKey): Promise<Outcome<StoredRecord>>;
  /**
   * Changes a record to what `next` makes of it; nobody else changes it in between. What `next` throws is passed on, and
   * nothing is written. Undefined when there is no such record.
   */
  change(
    id: number,
    writer: Writer,
    next: (current: StoredRecord) => RecordFields,
  ): Promise<StoredRecord | undefined>;
  /** Deletes a record unless `approve` throws; false when there is none. */
  remove(id: number, writer: Writer, approve: (current: StoredRecord) => void): Promise<boolean>;
  /** Writes of a record in order, also of one that was deleted; empty when there never was one. */
  history(id: number, limit: number, afterVersion: number): Promise<RecordChange[]>;
  /** Creates all records of all pages, or none when a page cannot be had. Resolves to how many. */
  import(
    pages: AsyncIterable<readonly RecordFields[]>,
    writer: Writer,
    once?: IdempotencyKey,
  ): Promise<Outcome<number>>;
  /** Deletes idempotency keys whose time is over. They are not looked at any more; this is for the space. */
  forgetKeys(): Promise<void>;
  /** Resolves when the storage answers and has the schema that is needed. */
  check(): Promise<void>;
  close(): Promise<void>;
}

/** For how long an idempotency key is remembered. */
export const idempotencyKeyLifetimeMs = 24 * 3_600_000;

/** The storage cannot be reached, or not now. Whether a write happened may be unknown. */
export const storageUnavailable = (cause: unknown): ProblemError =>
  new ProblemError('The records cannot be reached now.', {
    status: 503,
    code: 'storage_unavailable',
    headers: { 'Retry-After': '1' },
    cause,
  });

/** The key was used for another request. */
export const keyReused = (): ProblemError =>
  new ProblemError('This Idempotency-Key was used for another request.', {
    status: 422,
    code: 'idempotency_key_reused',
    members: { errors: [{ pointer: 'Idempotency-Key', detail: 'was used with another body' }] },
  });
