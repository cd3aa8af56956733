import { setImmediate as turn } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { createLogger } from '@countersign/service-kit';
import { PostgresAdapter, sql } from 'kysely';
import { migrateConfigSchema, parseRecordsConfig } from '../../services/records-api/src/config.ts';
import { createRecordStore } from '../../services/records-api/src/store/create-record-store.ts';
import { assertMigrated } from '../../services/records-api/src/store/migrations.ts';
import { openDatabase } from '../../services/records-api/src/store/open-database.ts';
import type { RecordDatabase } from '../../services/records-api/src/store/record-database.ts';
import { describeApi } from '../../services/records-api/test/api-description.ts';
import { sendGeneratedRequests } from '../../services/records-api/test/generated-requests.ts';
import { recordStoreContract } from '../../services/records-api/test/record-store-contract.ts';
import { slowImports } from '../../services/records-api/test/slow-imports.ts';
import { startTestApi } from '../../services/records-api/test/test-api.ts';
import { migrateStep, startRecordsProcess } from '../system/records-process.ts';
import { doubled, storedNames, writeStorm } from '../system/records-storm.ts';
import { type PostgresServer, startPostgres } from './postgres-server.ts';

jest.setTimeout(180_000);

let server: PostgresServer;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server?.[Symbol.asyncDispose]());

const logger = createLogger({ name: 'records-api', version: '0', destination: { write: () => undefined } });

const open = (settings: Record<string, string>): RecordDatabase =>
  openDatabase(parseRecordsConfig(migrateConfigSchema, settings), {}, logger);

describe('PostgreSQL 17', () => {
  recordStoreContract(async () => open(await server.newDatabase()));
  slowImports(async () => open(await server.newDatabase()));
});

describe('a connection', () => {
  const check = async (settings: Record<string, string>): Promise<void> => {
    const store = createRecordStore(open(settings));
    try {
      await store.check();
    } finally {
      await store.close();
    }
  };

  test('is made with TLS and a checked certificate, by the name that it is for', async () => {
    const settings = await server.newDatabase();
    await migrateStep(settings);
    await check(settings);
    const { DATABASE_CA_FILE: _, ...untrusted } = settings;
    const unavailable = { status: 503, code: 'storage_unavailable', headers: { 'Retry-After': '1' } };
    await expect(check(untrusted)).rejects.toMatchObject(unavailable);
    const otherName = { ...settings, DATABASE_URL: settings.DATABASE_URL.replace('localhost', '127.0.0.1') };
    await expect(check(otherName)).rejects.toMatchObject(unavailable);
    await expect(check({ ...settings, DATABASE_TLS: 'off' })).rejects.toMatchObject(unavailable);
  });

  test('ends a statement that takes too long: 503', async () => {
    const database = open({ ...(await server.newDatabase()), DATABASE_STATEMENT_TIMEOUT_MS: '50' });
    const error = await sql`SELECT pg_sleep(5)`.execute(database.reads).catch((caught: unknown) => caught);
    expect(database.isUnavailable(error)).toBe(true);
    await database.close();
  });
});

test('a server that falls silent: 503 with Retry-After, and other connections when it is back', async () => {
  const settings = { ...(await server.newDatabase()), DATABASE_STATEMENT_TIMEOUT_MS: '500' };
  const database = open(settings);
  await using api = await startTestApi(database);
  const write = (name: string): Promise<Response> =>
    api.call('POST', '/api/records', {
      body: { name, description: '', date: '2026-01-01T00:00:00.000Z' },
      headers: { 'idempotency-key': name },
    });
  // Two connections are at hand when it happens, one has to be made.
  await database.reads
    .connection()
    .execute(() => database.reads.connection().execute((second) => sql`SELECT 1`.execute(second)));
  expect(database.connections?.().idle).toBe(2);
  await server.pause();
  try {
    const refused = await Promise.all([write('silent'), api.call('GET', '/api/records'), write('other')]);
    for (const response of refused) {
      expect([response.status, response.headers.get('retry-after')]).toEqual([503, '1']);
      expect(await response.json()).toMatchObject({ code: 'storage_unavailable' });
    }
    expect(database.connections?.()).toMatchObject({ idle: 0, used: 0 });
  } finally {
    await server.resume();
  }
  expect((await write('silent')).status).toBe(201);
  expect(await (await api.call('GET', '/api/records?name=silent')).json()).toHaveLength(1);
});

test('a migration waits for another one longer than for a statement', async () => {
  const settings = { ...(await server.newDatabase()), DATABASE_STATEMENT_TIMEOUT_MS: '100' };
  const database = open(settings);
  const { writes, reads } = database;
  const adapter = new PostgresAdapter();
  let step = Promise.resolve();
  const over = new AbortController();
  await writes.connection().execute(async (other) => {
    await adapter.acquireMigrationLock(other, { lockTable: '', lockRowId: '' });
    step = migrateStep(settings).finally(() => over.abort());
    const hasWaited = sql`SELECT 1 FROM pg_stat_activity
      WHERE datname = current_database() AND wait_event = 'advisory' AND now() - query_start > interval '1500 milliseconds'`;
    while (!over.signal.aborted && (await hasWaited.execute(reads)).rows.length === 0) await turn();
    await adapter.releaseMigrationLock(other, { lockTable: '', lockRowId: '' });
  });
  await expect(step).resolves.toBeUndefined();
  await assertMigrated(reads, 'postgres');
  await database.close();
});

const count = Number(process.env['GENERATED_REQUESTS'] ?? 500);

test(
  `${count} generated requests get no 500 and no answer that is not described`,
  async () => {
    await using api = await startTestApi(open(await server.newDatabase()));
    const description = describeApi(await (await fetch(`${api.url}/openapi.json`)).json());
    const seed = Number(process.env['GENERATED_SEED'] ?? 1);
    expect((await sendGeneratedRequests(api, description, count, seed)).get(201)).toBeGreaterThan(0);
  },
  count * 100,
);

test('kill -9 in a write storm loses no acknowledged write and doubles none', async () => {
  await using api = await startRecordsProcess(await server.newDatabase());
  const kills = [40, 90, 150];
  const storm = await writeStorm(api, 200, new Map(kills.map((count) => [count, api.killAndRestart])));
  expect(storm.broken).toBeGreaterThan(0);
  expect(storm.refusals).toEqual([]);
  const names = await storedNames(api);
  expect(doubled(names)).toEqual([]);
  expect(new Set(names)).toEqual(new Set(storm.acknowledged));
});

test('a database that restarts under load: 503 with Retry-After, then all goes on by itself', async () => {
  await using api = await startRecordsProcess(await server.newDatabase());
  const { pid } = api.process().child;
  const storm = await writeStorm(
    api,
    400,
    new Map([
      [100, server.restart],
      [250, server.restart],
    ]),
  );
  expect(storm.refusals.length).toBeGreaterThan(0);
  expect(new Set(storm.refusals.map(({ status, retryAfter }) => `${status} ${retryAfter}`))).toEqual(
    new Set(['503 1']),
  );
  expect(storm.broken).toBe(0);
  expect(api.process().child.pid).toBe(pid);
  expect((await fetch(`${api.url}/readyz`)).status).toBe(200);
  const names = await storedNames(api);
  expect(doubled(names)).toEqual([]);
  expect(new Set(names)).toEqual(new Set(storm.acknowledged));
});
