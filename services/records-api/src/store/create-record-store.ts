import type { Kysely, Transaction } from 'kysely';
import type { RecordEntry, RecordFilter } from '../record.ts';
import {
  type IdempotencyKey,
  idempotencyKeyLifetimeMs,
  keyReused,
  type Outcome,
  type Position,
  type RecordStore,
  storageUnavailable,
  type StoredRecord,
  type Writer,
} from '../record-store.ts';
import { assertLastMigration } from './migrations.ts';
import type { RecordDatabase, RecordList } from './record-database.ts';
import type { Tables } from './tables.ts';

type Action = Tables['audit_changes']['action'];

/** Thrown to undo a write whose key was used before. */
class KeyTaken extends Error {}

const toEntry = ({ id, name, description, date }: RecordEntry): RecordEntry => ({
  id,
  name,
  description,
  date,
});

const toStored = (row: RecordEntry & { version: number }): StoredRecord => ({
  record: toEntry(row),
  version: row.version,
});

const columns = ['id', 'name', 'description', 'date'] as const;

const selectPage = (
  { reads, goOn }: RecordDatabase,
  { name, from, to }: RecordFilter,
  limit: number,
  after: Position | undefined,
): RecordList => {
  let list = reads.selectFrom('records').select(columns);
  if (name === undefined && from === undefined && to === undefined) {
    return (after ? list.where('id', '>', after.id) : list).orderBy('id').limit(limit);
  }
  if (name !== undefined) list = list.where('name', '=', name);
  if (to !== undefined) list = list.where('date', '<=', to);
  if (after && (from === undefined || after.date >= from)) list = goOn(list, after);
  else if (from !== undefined) list = list.where('date', '>=', from);
  return list.orderBy('date').orderBy('id').limit(limit);
};

/** A transaction that fails with what its work threw, also where the connection is gone and cannot roll back. */
const inTransaction = async <Result>(
  db: Kysely<Tables>,
  work: (transaction: Transaction<Tables>) => Promise<Result>,
): Promise<Result> => {
  let thrown: { error: unknown } | undefined;
  try {
    return await db.transaction().execute(async (transaction) => {
      try {
        return await work(transaction);
      } catch (error) {
        thrown = { error };
        throw error;
      }
    });
  } catch (error) {
    throw thrown ? thrown.error : error;
  }
};

/** The store on a migrated database. @param clock milliseconds since 1970 */
export const createRecordStore = (database: RecordDatabase, clock: () => number = Date.now): RecordStore => {
  const { reads, writes } = database;
  const now = (): string => new Date(clock()).toISOString();

  const reach = async <Result>(work: () => Promise<Result>): Promise<Result> => {
    try {
      return await work();
    } catch (error) {
      throw database.isUnavailable(error) ? storageUnavailable(error) : error;
    }
  };

  const noteWrite = async (transaction: Transaction<Tables>, writer: Writer): Promise<number> => {
    const { id } = await transaction
      .insertInto('audit_writes')
      .values({
        application_id: writer.applicationId,
        object_id: writer.objectId,
        tenant_id: writer.tenantId,
        token_id: writer.tokenId,
        request_id: writer.requestId,
        at: now(),
      })
      .returning('id')
      .executeTakeFirstOrThrow();
    return id;
  };

  const noteChange = async (
    transaction: Transaction<Tables>,
    writer: Writer,
    { record, version }: StoredRecord,
    action: Action,
  ): Promise<void> => {
    const write_id = await noteWrite(transaction, writer);
    await transaction
      .insertInto('audit_changes')
      .values({ record_id: record.id, version, action, write_id })
      .execute();
  };

  /** The record, kept from other writers until the transaction ends; SQLite has one writer at a time anyway. */
  const hold = async (transaction: Transaction<Tables>, id: number): Promise<StoredRecord | undefined> => {
    const row = await transaction
      .selectFrom('records')
      .select([...columns, 'version'])
      .where('id', '=', id)
      .$if(database.engine === 'postgres', (query) => query.forUpdate())
      .executeTakeFirst();
    return row && toStored(row);
  };

  const expired = (): string => new Date(clock() - idempotencyKeyLifetimeMs).toISOString();

  /** The last thing of a transaction: a key that somebody else uses now is waited for here. */
  const keepAnswer = async (
    transaction: Transaction<Tables>,
    { applicationId }: Writer,
    { key, fingerprint }: IdempotencyKey,
    answer: unknown,
  ): Promise<void> => {
    await transaction
      .deleteFrom('idempotency_keys')
      .where('application_id', '=', applicationId)
      .where('key', '=', key)
      .where('at', '<', expired())
      .execute();
    const kept = await transaction
      .insertInto('idempotency_keys')
      .values({
        application_id: applicationId,
        key,
        fingerprint: fingerprint(),
        answer: JSON.stringify(answer),
        at: now(),
      })
      .onConflict((conflict) => conflict.doNothing())
      .returning('key')
      .executeTakeFirst();
    if (!kept) throw new KeyTaken();
  };

  const earlierAnswer = async (
    { applicationId }: Writer,
    { key, fingerprint }: IdempotencyKey,
  ): Promise<unknown> => {
    const row = await writes
      .selectFrom('idempotency_keys')
      .select(['fingerprint', 'answer'])
      .where('application_id', '=', applicationId)
      .where('key', '=', key)
      .executeTakeFirstOrThrow();
    if (row.fingerprint !== fingerprint()) throw keyReused();
    return JSON.parse(row.answer);
  };

  const writeOnce = <Answer>(
    db: Kysely<Tables>,
    writer: Writer,
    once: IdempotencyKey | undefined,
    work: (transaction: Transaction<Tables>) => Promise<Answer>,
  ): Promise<Outcome<Answer>> =>
    inTransaction(db, async (transaction) => {
      const answer = await work(transaction);
      if (once) await keepAnswer(transaction, writer, once, answer);
      return { answer, isReplay: false };
    });

  const orReplay = async <Answer>(
    writer: Writer,
    once: IdempotencyKey | undefined,
    write: () => Promise<Outcome<Answer>>,
  ): Promise<Outcome<Answer>> => {
    try {
      return await write();
    } catch (error) {
      if (!(error instanceof KeyTaken) || !once) throw error;
      return { answer: (await earlierAnswer(writer, once)) as Answer, isReplay: true };
    }
  };

  return {
    list: (filter, limit, after) => reach(() => selectPage(database, filter, limit, after).execute()),

    export: (filter, limit, after) =>
      reach(() => database.readLines(selectPage(database, filter, limit, after))),

    get: (id) =>
      reach(async () => {
        const row = await reads
          .selectFrom('records')
          .select([...columns, 'version'])
          .where('id', '=', id)
          .executeTakeFirst();
        return row && toStored(row);
      }),

    create: (fields, writer, once) =>
      reach(() =>
        orReplay(writer, once, () =>
          writeOnce(writes, writer, once, async (transaction) => {
            const row = await transaction
              .insertInto('records')
              .values({ ...fields, version: 1 })
              .returning([...columns, 'version'])
              .executeTakeFirstOrThrow();
            const stored = toStored(row);
            await noteChange(transaction, writer, stored, 'created');
            return stored;
          }),
        ),
      ),

    change: (id, writer, next) =>
      reach(() =>
        inTransaction(writes, async (transaction) => {
          const current = await hold(transaction, id);
          if (!current) return undefined;
          const { name, description, date } = next(current);
          const changed = {
            record: { id, name, description, date },
            version: current.version + 1,
          };
          await transaction
            .updateTable('records')
            .set({ name, description, date, version: changed.version })
            .where('id', '=', id)
            .execute();
          await noteChange(transaction, writer, changed, 'changed');
          return changed;
        }),
      ),

    remove: (id, writer, approve) =>
      reach(() =>
        inTransaction(writes, async (transaction) => {
          const current = await hold(transaction, id);
          if (!current) return false;
          approve(current);
          await transaction.deleteFrom('records').where('id', '=', id).execute();
          await noteChange(transaction, writer, { ...current, version: current.version + 1 }, 'deleted');
          return true;
        }),
      ),

    history: (id, limit, afterVersion) =>
      reach(() =>
        reads
          .selectFrom('audit_changes')
          .innerJoin('audit_writes', 'audit_writes.id', 'audit_changes.write_id')
          .select([
            'audit_changes.version',
            'audit_changes.action',
            'audit_writes.at',
            'audit_writes.application_id as azp',
            'audit_writes.object_id as oid',
            'audit_writes.tenant_id as tid',
            'audit_writes.token_id as uti',
            'audit_writes.request_id as requestId',
          ])
          .where('audit_changes.record_id', '=', id)
          .where('audit_changes.version', '>', afterVersion)
          .orderBy('audit_changes.version')
          .limit(limit)
          .execute(),
      ),

    import: (pages, writer, once) =>
      reach(async () => {
        const prepared = await database.prepareImport(pages);
        try {
          return await orReplay(writer, once, () =>
            prepared.connect((db) =>
              writeOnce(db, writer, once, async (transaction) =>
                prepared.insert(transaction, await noteWrite(transaction, writer)),
              ),
            ),
          );
        } finally {
          prepared.discard();
        }
      }),

    check: () => reach(() => assertLastMigration(reads, database.engine)),

    forgetKeys: () =>
      reach(async () => {
        await writes.deleteFrom('idempotency_keys').where('at', '<', expired()).execute();
      }),

    close: () => database.close(),
  };
};
