/** What the databases take of the machine while they work for records-api. */
import { once } from 'node:events';
import type { PostgresServer } from '../tests/containers/postgres-server.ts';
import type { RecordsProcess } from '../tests/system/records-process.ts';
import { processorSeconds, secondsOf } from './processor-time.ts';

/** Processor time so far, in seconds. */
export interface Work {
  database: number;
  /** Of that, what an import puts aside first. */
  staging: number;
  /** records-api, without the database. */
  api: number;
}

export interface DatabaseLoad {
  work: () => Promise<Work>;
  /** Memory that processes of the database have for themselves, in MiB. */
  privateMegabytes?: () => Promise<number>;
}

const pidOf = (api: RecordsProcess): number => api.process().child.pid as number;

/** Preload it into records-api. */
export const sqliteTime = new URL('sqlite-time.ts', import.meta.url).href;

/** SQLite works within records-api. */
export const sqliteLoad = (api: RecordsProcess): DatabaseLoad => ({
  async work() {
    const { child } = api.process();
    const answer = once(child, 'message');
    child.send('how long?');
    const [{ sqliteSeconds, stagingSeconds }] = (await answer) as [Record<string, number>];
    return {
      database: sqliteSeconds as number,
      staging: stagingSeconds as number,
      api: processorSeconds(pidOf(api)) - (sqliteSeconds as number),
    };
  },
});

/** PostgreSQL has its container for itself. */
export const postgresLoad = (api: RecordsProcess, server: PostgresServer): DatabaseLoad => ({
  async work() {
    const seconds = (await server.run('cat /proc/[0-9]*/stat')).trim().split('\n').map(secondsOf);
    return { database: sum(seconds), staging: 0, api: processorSeconds(pidOf(api)) };
  },
  async privateMegabytes() {
    const status = await server.run('grep -h RssAnon /proc/[0-9]*/status');
    const kilobytes = [...status.matchAll(/RssAnon:\s+(\d+) kB/g)].map(([, number]) => Number(number));
    if (kilobytes.length === 0) throw new Error('the container does not say how much memory it has');
    return sum(kilobytes) / 1024;
  },
});

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);
