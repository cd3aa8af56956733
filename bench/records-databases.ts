/** What the databases take of the machine while they work for records-api. */
import { once } from 'node:events';
import type { PostgresServer } from '../tests/containers/postgres-server.ts';
import type { RecordsProcess } from '../tests/system/records-process.ts';
import { processorSeconds, secondsOf } from './processor-time.ts';

export interface DatabaseLoad {
  /** Processor time of database and records-api together so far, in seconds. */
  all: () => Promise<number>;
  /** That of the database. */
  database: () => Promise<number>;
  /** Memory that processes of its own have, beside what they share, in MiB. */
  privateMegabytes: () => Promise<number>;
}

const pidOf = (api: RecordsProcess): number => api.process().child.pid as number;

/** Preload it into records-api. */
export const sqliteTime = new URL('sqlite-time.ts', import.meta.url).href;

/** SQLite works within records-api: while a call of it lasts, nothing else runs there. */
export const sqliteLoad = (api: RecordsProcess): DatabaseLoad => ({
  all: async () => processorSeconds(pidOf(api)),
  async database() {
    const { child } = api.process();
    const answer = once(child, 'message');
    child.send('how long?');
    const [{ sqliteSeconds }] = (await answer) as [{ sqliteSeconds: number }];
    return sqliteSeconds;
  },
  privateMegabytes: async () => 0,
});

/** PostgreSQL has its container for itself. */
export const postgresLoad = (api: RecordsProcess, server: PostgresServer): DatabaseLoad => {
  const database = async (): Promise<number> => {
    const seconds = (await server.run('cat /proc/[0-9]*/stat')).trim().split('\n').map(secondsOf);
    return seconds.reduce((sum, some) => sum + some, 0);
  };
  return {
    database,
    all: async () => processorSeconds(pidOf(api)) + (await database()),
    async privateMegabytes() {
      const status = await server.run('grep -h RssAnon /proc/[0-9]*/status');
      const kilobytes = [...status.matchAll(/RssAnon:\s+(\d+) kB/g)].map(([, number]) => Number(number));
      return kilobytes.reduce((sum, number) => sum + number, 0) / 1024;
    },
  };
};
