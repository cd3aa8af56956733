import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { sql } from 'kysely';
import type { RecordFields } from '../src/record.ts';
import { idempotencyKeyLifetimeMs, type RecordStore, type Writer } from '../src/record-store.ts';
import { createRecordStore } from '../src/store/create-record-store.ts';
import { assertMigrated, migrate } from '../src/store/migrations.ts';
import type { RecordDatabase } from '../src/store/record-database.ts';

export const writer: Writer = {
  applicationId: 'a9100002-0000-4000-8000-000000000002',
  objectId: '0b0b0b0b-0000-4000-8000-000000000002',
  tenantId: '10ca10ca-0000-4000-8000-10ca10ca10ca',
  tokenId: 'token-1',
  requestId: 'request-1',
};

const fields = (name: string, date = '2026-03-01T00:00:00.000Z'): RecordFields => ({
  name,
  description: `About ${name}`,
  date,
});

async function* pagesOf(...pages: RecordFields[][]): AsyncGenerator<RecordFields[]> {
  yield* pages;
}

/** What every store has to do, on an empty database. */
export const recordStoreContract = (openDatabase: () => Promise<RecordDatabase>): void => {
  let database: RecordDatabase;
  let store: RecordStore;
  let now = Date.UTC(2026, 5, 1);

  beforeAll(async () => {
    database = await openDatabase();
    store = createRecordStore(database, () => now);
  });
  afterAll(() => store?.close());

  describe('migrations', () => {
    test('a database without them is refused in one sentence that says what to do', async () => {
      await expect(assertMigrated(database.reads, database.engine)).rejects.toThrow(
        /lacks the migrations 0001-records, 0002-versions-and-history: run "npm run migrate"/,
      );
    });

    test('run once, in order, also when two processes run them at the same time', async () => {
      const [one, other] = await Promise.all([
        migrate(database.writes, database.engine),
        migrate(database.writes, database.engine),
      ]);
      expect([...one, ...other]).toEqual(['0001-records', '0002-versions-and-history']);
      await assertMigrated(database.reads, database.engine);
    });

    test('leave ten sample records', async () => {
      const records = await store.list({}, 100);
      expect(records).toHaveLength(10);
      expect(records[9]).toEqual({
        id: 10,
        name: 'Record 10',
        description: 'Description of Record 10',
        date: '2026-01-10T00:00:00.000Z',
      });
    });

    test('of a newer version are refused', async () => {
      await sql`INSERT INTO kysely_migration VALUES ('9999-future', '2030-01-01T00:00:00.000Z')`.execute(
        database.writes,
      );
      await expect(assertMigrated(database.reads, database.engine)).rejects.toThrow(
        /newer version.*9999-future/,
      );
      // A service of this version that runs already goes on.
      await store.check();
      await sql`DELETE FROM kysely_migration WHERE name = '9999-future'`.execute(database.writes);
    });
  });

  describe('records', () => {
    test('are not served before the last migration', async () => {
      const rename = (from: string, to: string): Promise<unknown> =>
        sql`UPDATE kysely_migration SET name = ${to} WHERE name = ${from}`.execute(database.writes);
      await rename('0002-versions-and-history', 'undone');
      await expect(store.check()).rejects.toMatchObject({
        status: 503,
        code: 'storage_not_migrated',
        message: 'the database lacks the migrations 0002-versions-and-history: run "npm run migrate"',
      });
      await rename('undone', '0002-versions-and-history');
      await store.check();
    });

    test('are created, read, changed and deleted, each version counted', async () => {
      const { answer: created, isReplay } = await store.create(fields('Grüße 🎉\t'), writer);
      const { id } = created.record;
      expect(isReplay).toBe(false);
      expect(created).toEqual({ record: { id, ...fields('Grüße 🎉\t') }, version: 1 });
      expect(await store.get(id)).toEqual(created);
      const changed = await store.change(id, writer, ({ record }) => ({
        ...record,
        name: `${record.name}!`,
      }));
      expect(changed).toEqual({ record: { id, ...fields('Grüße 🎉\t'), name: 'Grüße 🎉\t!' }, version: 2 });
      expect(await store.get(id)).toEqual(changed);
      expect(await store.remove(id, writer, () => undefined)).toBe(true);
      expect(await store.get(id)).toBeUndefined();
      expect(await store.remove(id, writer, () => undefined)).toBe(false);
      expect(await store.change(id, writer, () => fields('x'))).toBeUndefined();
    });

    test('are given ids that are never given again', async () => {
      const { answer: first } = await store.create(fields('a'), writer);
      await store.remove(first.record.id, writer, () => undefined);
      const { answer: second } = await store.create(fields('b'), writer);
      expect(second.record.id).toBeGreaterThan(first.record.id);
    });

    test('a change that is refused changes nothing and is in no history', async () => {
      const { answer } = await store.create(fields('kept'), writer);
      const refuse = (): never => {
        throw new Error('refused');
      };
      await expect(store.change(answer.record.id, writer, refuse)).rejects.toThrow('refused');
      await expect(store.remove(answer.record.id, writer, refuse)).rejects.toThrow('refused');
      expect(await store.get(answer.record.id)).toEqual(answer);
      expect(await store.history(answer.record.id, 10, 0)).toHaveLength(1);
    });

    test('are changed one after the other: none of 20 changes at once is lost', async () => {
      const { answer } = await store.create(fields(''), writer);
      const add = (): Promise<unknown> =>
        store.change(answer.record.id, writer, ({ record }) => ({ ...record, name: `${record.name}x` }));
      await Promise.all(Array.from({ length: 20 }, add));
      expect(await store.get(answer.record.id)).toMatchObject({
        version: 21,
        record: { name: 'x'.repeat(20) },
      });
    });
  });

  describe('lists', () => {
    const names = async (...parameters: Parameters<RecordStore['list']>): Promise<string[]> =>
      (await store.list(...parameters)).map(({ name }) => name);

    beforeAll(async () => {
      const year = (month: number): string => new Date(Date.UTC(1999, month, 1)).toISOString();
      for (const month of [3, 1, 2, 1]) await store.create(fields(`month ${month}`, year(month)), writer);
    });

    test('go by id, page after page, without gaps and repetitions', async () => {
      const all = await store.list({}, 1_000);
      const paged = [];
      for (let page = await store.list({}, 3); page.length > 0; page = await store.list({}, 3, page.at(-1)))
        paged.push(...page);
      expect(paged).toEqual(all);
      expect(all.map(({ id }) => id)).toEqual(all.map(({ id }) => id).toSorted((a, b) => a - b));
    });

    test('by dates go by date and then id; both ends are inclusive', async () => {
      const filter = { from: '1999-01-01T00:00:00.000Z', to: '1999-12-31T23:59:59.999Z' };
      const ordered = ['month 1', 'month 1', 'month 2', 'month 3'];
      expect(await names(filter, 10)).toEqual(ordered);
      const [first, second] = await store.list(filter, 2);
      expect(await names(filter, 10, first)).toEqual(ordered.slice(1));
      expect(await names(filter, 10, second)).toEqual(ordered.slice(2));
      expect(await names({ from: '1999-03-01T00:00:00.000Z', to: '1999-03-01T00:00:00.000Z' }, 10)).toEqual([
        'month 2',
      ]);
    });

    test('by dates or name go on in the middle of records of one date', async () => {
      const date = '1998-01-01T00:00:00.000Z';
      for (let serial = 0; serial < 7; serial += 1)
        await store.create(fields(`many ${serial % 2}`, date), writer);
      await store.create(fields('many 1', '1998-01-02T00:00:00.000Z'), writer);
      const end = '1998-12-31T00:00:00.000Z';
      for (const filter of [{ from: date, to: end }, { to: end }, { name: 'many 1' }, { from: date }]) {
        const whole = await store.list(filter, 1_000);
        expect(whole.length).toBeGreaterThan(3);
        for (const limit of [1, 2, 3]) {
          const paged = [];
          for (
            let page = await store.list(filter, limit);
            page.length > 0;
            page = await store.list(filter, limit, page.at(-1))
          )
            paged.push(...page);
          expect(paged).toEqual(whole);
        }
      }
      const early = { id: 1, date: '1997-01-01T00:00:00.000Z' };
      const filter = { from: date, to: end };
      expect(await store.list(filter, 10, early)).toEqual(await store.list(filter, 10));
    });

    test('are exported as lines of JSON', async () => {
      await store.create(fields('quote " slash / \\ 🎉 \u2028 \u007f', '0001-01-01T00:00:00.001Z'), writer);
      await store.create(
        { ...fields('long ago'), description: 'line\nline\ttab', date: '9999-12-31T23:59:59.999Z' },
        writer,
      );
      for (const filter of [{}, { from: '0001-01-01T00:00:00.000Z' }]) {
        const listed = await store.list(filter, 1_000);
        const [first] = listed;
        const exported = await store.export(filter, listed.length - 2, first);
        expect(exported.endsWith('}\n')).toBe(true);
        const lines = exported.trimEnd().split('\n');
        expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual(listed.slice(1, -1));
        expect(await store.export(filter, 10, listed.at(-1))).toBe('');
      }
    });

    test('by name are of exactly this name', async () => {
      expect(await names({ name: 'month 1' }, 10)).toEqual(['month 1', 'month 1']);
      expect(await names({ name: 'month' }, 10)).toEqual([]);
      const to = '1999-02-02T00:00:00.000Z';
      expect(await names({ name: 'month 1', to }, 1)).toEqual(['month 1']);
    });
  });

  describe('history', () => {
    test('has every write with its author, also of a record that is gone', async () => {
      const { answer } = await store.create(fields('audited'), writer);
      const { id } = answer.record;
      const other = { ...writer, applicationId: 'other', tokenId: 'token-2', requestId: 'request-2' };
      now += 1_000;
      await store.change(id, other, () => fields('changed'));
      now += 1_000;
      await store.remove(id, writer, () => undefined);
      const at = (ms: number): string => new Date(now - ms).toISOString();
      const author = { azp: writer.applicationId, oid: writer.objectId, tid: writer.tenantId };
      const mine = { ...author, uti: 'token-1', requestId: 'request-1' };
      expect(await store.history(id, 10, 0)).toEqual([
        { version: 1, action: 'created', at: at(2_000), ...mine },
        {
          version: 2,
          action: 'changed',
          at: at(1_000),
          ...mine,
          azp: 'other',
          uti: 'token-2',
          requestId: 'request-2',
        },
        { version: 3, action: 'deleted', at: at(0), ...mine },
      ]);
      expect(await store.history(id, 1, 1)).toMatchObject([{ version: 2 }]);
      expect(await store.history(999_999_999, 10, 0)).toEqual([]);
    });

    test.each(['audit_writes', 'audit_changes'])('%s can be neither changed nor deleted', async (table) => {
      const column = table === 'audit_writes' ? 'token_id' : 'action';
      for (const statement of [`UPDATE ${table} SET ${column} = 'x'`, `DELETE FROM ${table}`])
        await expect(sql.raw(statement).execute(database.writes)).rejects.toThrow(`${table} is append-only`);
    });
  });

  describe('an idempotency key', () => {
    const once = (key: string, fingerprint = 'body') => ({ key, fingerprint: () => fingerprint });
    let key = '';
    let serial = 0;
    beforeEach(() => {
      key = `key-${(serial += 1)}`;
    });

    test('makes a write happen once', async () => {
      const first = await store.create(fields('once'), writer, once(key));
      const again = await store.create(fields('once'), writer, once(key));
      expect(first.isReplay).toBe(false);
      expect(again).toEqual({ answer: first.answer, isReplay: true });
      expect(await store.list({ name: 'once' }, 10)).toHaveLength(1);
    });

    test('makes ten writes at the same time one', async () => {
      const outcomes = await Promise.all(
        Array.from({ length: 10 }, () => store.create(fields('racing'), writer, once(key))),
      );
      expect(new Set(outcomes.map(({ answer }) => answer.record.id)).size).toBe(1);
      expect(outcomes.filter(({ isReplay }) => !isReplay)).toHaveLength(1);
      expect(await store.list({ name: 'racing' }, 10)).toHaveLength(1);
    });

    test('is good for one request, and for one application', async () => {
      await store.create(fields('mine'), writer, once(key));
      await expect(store.create(fields('mine'), writer, once(key, 'other body'))).rejects.toMatchObject({
        status: 422,
        code: 'idempotency_key_reused',
      });
      const other = await store.create(
        fields('theirs'),
        { ...writer, applicationId: 'other' },
        once(key, 'other'),
      );
      expect(other.isReplay).toBe(false);
    });

    test('is forgotten after a day, and may be used again', async () => {
      const first = await store.create(fields('old'), writer, once(key));
      now += idempotencyKeyLifetimeMs;
      expect((await store.create(fields('old'), writer, once(key))).isReplay).toBe(true);
      now += 1;
      const second = await store.create(fields('new'), writer, once(key, 'other'));
      expect(second.answer.record.id).not.toBe(first.answer.record.id);
      now += idempotencyKeyLifetimeMs + 1;
      await store.forgetKeys();
      const left = await database.reads.selectFrom('idempotency_keys').select('key').execute();
      expect(left).toEqual([]);
    });
  });

  describe('an import', () => {
    const many = (name: string, count: number): RecordFields[] =>
      Array.from({ length: count }, (_, index) => fields(`${name} ${index}`));

    test('creates every record of every page, in order and with history', async () => {
      const all = many('imported', 4_500);
      const outcome = await store.import(pagesOf(all.slice(0, 3_000), all.slice(3_000)), writer);
      expect(outcome).toEqual({ answer: 4_500, isReplay: false });
      const [first] = await store.list({ name: 'imported 0' }, 1);
      const [last] = await store.list({ name: 'imported 4499' }, 1);
      expect((last?.id ?? 0) - (first?.id ?? 0)).toBe(4_499);
      for (const { id } of [first, last] as { id: number }[])
        expect(await store.history(id, 10, 0)).toMatchObject([
          { version: 1, action: 'created', uti: 'token-1' },
        ]);
    });

    test('that breaks off creates nothing, and others write meanwhile', async () => {
      const pages = async function* (): AsyncGenerator<RecordFields[]> {
        yield many('broken', 10);
        await store.create(fields('meanwhile'), writer);
        throw new Error('broke off');
      };
      await expect(store.import(pages(), writer)).rejects.toThrow('broke off');
      expect(await store.list({ name: 'broken 0' }, 10)).toEqual([]);
      expect(await store.list({ name: 'meanwhile' }, 10)).toHaveLength(1);
    });

    test('of nothing is one; under a key it happens once', async () => {
      expect(await store.import(pagesOf(), writer)).toEqual({ answer: 0, isReplay: false });
      const once = { key: 'import', fingerprint: () => 'lines' };
      await store.import(pagesOf(many('single', 5)), writer, once);
      expect(await store.import(pagesOf(many('single', 5)), writer, once)).toEqual({
        answer: 5,
        isReplay: true,
      });
      expect(await store.list({ name: 'single 0' }, 10)).toHaveLength(1);
    });
  });
};
