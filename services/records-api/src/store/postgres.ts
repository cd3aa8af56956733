import { Kysely, PostgresDialect, type PostgresPoolClient, sql } from 'kysely';
import { DatabaseError, Pool, type PoolClient, types } from 'pg';
import type { RecordDatabase } from './record-database.ts';
import type { Tables } from './tables.ts';

export interface PostgresOptions {
  host: string;
  port: number;
  database: string;
  user: string;
  /** Asked for each new connection: passwords change, and tokens end. */
  password: () => Promise<string>;
  /** `off`: everybody on the way reads along. Otherwise the server's name is checked. */
  tls: 'off' | 'verify';
  /** PEM certificates to trust, in place of Node's. */
  ca?: string;
  /** Most connections. */
  poolSize: number;
  /** How long the server works on one statement, in milliseconds; 0 for as long as it takes. */
  statementTimeoutMs: number;
  /** Told of connections that end while no statement runs. */
  onConnectionError: (error: Error) => void;
}

/** How much longer an answer is waited for than the server may work on it. */
const answerDelayMs = 1_000;

const int8 = 20;
const timestamptz = 1184;

const parsers: Readonly<Record<number, (text: string) => unknown>> = {
  [int8]: Number,
  [timestamptz]: (text) => (types.getTypeParser(timestamptz)(text) as Date).toISOString(),
};

/** A pool of connections to PostgreSQL. The first one is made when it is needed. */
export const openPostgres = (options: PostgresOptions): RecordDatabase => {
  const pool = new Pool({
    host: options.host,
    port: options.port,
    database: options.database,
    user: options.user,
    password: options.password,
    ssl: options.tls === 'verify' && { rejectUnauthorized: true, ...(options.ca && { ca: options.ca }) },
    max: options.poolSize,
    connectionTimeoutMillis: 3_000,
    idleTimeoutMillis: 30_000,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    application_name: 'records-api',
    statement_timeout: options.statementTimeoutMs,
    // For a server that is gone without a word; one that is there ends the statement itself.
    ...(options.statementTimeoutMs > 0 && { query_timeout: options.statementTimeoutMs + answerDelayMs }),
    // An import whose client has gone silent holds a connection.
    idle_in_transaction_session_timeout: 60_000,
    types: {
      getTypeParser: ((id: number, format: 'text') =>
        parsers[id] ?? types.getTypeParser(id, format)) as typeof types.getTypeParser,
    },
  });
  // Without a listener such an error would end the process: also in a transaction, between two statements.
  pool.on('connect', (client) => client.on('error', options.onConnectionError));
  pool.on('error', () => undefined);
  const connect = async (): Promise<PostgresPoolClient> => {
    // Without a password pg would leave a connection behind, half made, with each attempt.
    if (pool.idleCount === 0) await options.password();
    return closedWhenSilent(await pool.connect());
  };
  const db = new Kysely<Tables>({
    dialect: new PostgresDialect({ pool: { connect, end: () => pool.end(), options: pool.options } }),
  });

  return {
    engine: 'postgres',
    reads: db,
    writes: db,
    goOn: (list, after) =>
      list.where((where) => where(where.refTuple('date', 'id'), '>', where.tuple(after.date, after.id))),
    async readLines(page) {
      // Made there, JSON takes a third of the time, and none of this process's. A sorted subquery is aggregated in its order.
      const { rows } = await sql<{ lines: string | null }>`
        SELECT string_agg(row_to_json(line)::text || E'\n', '') AS lines FROM (
          SELECT id, name, description, to_char(date AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS date
          FROM (${page}) AS page
        ) AS line`.execute(db);
      return rows[0]?.lines ?? '';
    },
    async prepareImport(pages) {
      return {
        connect: (run) => run(db),
        discard: () => undefined,
        async insert(transaction, writeId) {
          let count = 0;
          for await (const page of pages) {
            await sql`WITH added AS (
              INSERT INTO records (name, description, date, version)
              SELECT name, description, date, 1 FROM unnest(
                ${page.map(({ name }) => name)}::text[],
                ${page.map(({ description }) => description)}::text[],
                ${page.map(({ date }) => date)}::timestamptz[]
              ) WITH ORDINALITY AS lines (name, description, date, line) ORDER BY line
              RETURNING id
            ) INSERT INTO audit_changes (record_id, version, action, write_id)
              SELECT id, 1, 'created', ${writeId}::bigint FROM added`.execute(transaction);
            count += page.length;
          }
          return count;
        },
      };
    },
    connections: () => ({
      idle: pool.idleCount,
      used: pool.totalCount - pool.idleCount,
      waiting: pool.waitingCount,
      most: options.poolSize,
    }),
    isUnavailable,
    close: () => pool.end(),
  };
};

/** pg leaves the connection open on which no answer came, and would wait for that before it sends anything else. */
const closedWhenSilent = (client: PoolClient): PostgresPoolClient => {
  let silence: Error | undefined;
  const query = async (text: string, parameters: unknown[]): Promise<unknown> => {
    if (silence) throw silence;
    try {
      return await client.query(text, parameters);
    } catch (error) {
      if (error instanceof Error && error.message === readTimeout) silence = error;
      throw error;
    }
  };
  return {
    query: query as PostgresPoolClient['query'],
    release: (destroy) => client.release(silence ?? destroy),
  };
};

/** pg has no code for it. */
const readTimeout = 'Query read timeout';

/**
 * Connection exceptions, authorization, out of resources, the statement timeout, shutdowns, a standby that takes no writes
 * (https://www.postgresql.org/docs/17/errcodes-appendix.html).
 */
const unavailableStates = /^(?:08|28|53|57P0[1-5]$|57014$|3D000$|25006$|25P0[34]$|40001$|40P01$)/;

/** What Node says of connections and certificates. */
const connectionCodes = /^(?:E(?!RR_)[A-Z_]+|ERR_(?:TLS|SSL)_.*|UNABLE_TO_.*|.*CERT.*)$/;

/** pg has no codes for these. */
const unavailableMessages =
  /^(?:Connection terminated|timeout exceeded when trying to connect|Client has encountered a connection error|Client was closed|The server does not support SSL|Query read timeout)/;

const isUnavailable = (error: unknown): boolean => {
  if (error instanceof DatabaseError) return unavailableStates.test(error.code ?? '');
  const { code, message } = Object(error) as { code?: unknown; message?: unknown };
  return (
    (typeof code === 'string' && connectionCodes.test(code)) ||
    (typeof message === 'string' && unavailableMessages.test(message))
  );
};
