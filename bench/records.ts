/**
 * records-api with a million records, on both databases: what the last page costs beside the first, how long export and
 * import take beside the database alone and which share of the work is the database's, and how much it and every process
 * on the way through the gateway grows by them. PostgreSQL runs in a container.
 */
import { startPostgres } from '../tests/containers/postgres-server.ts';
import { type RecordsProcess, startRecordsProcess } from '../tests/system/records-process.ts';
import { interleave, type Medians, ratio, toTable } from './interleave.ts';
import { type Baseline, postgresCopy, sqliteLoop } from './records-baselines.ts';
import { createRecordsCaller } from './records-caller.ts';
import { type DatabaseLoad, postgresLoad, sqliteLoad, sqliteTime } from './records-databases.ts';
import { growthOnTheWay } from './records-way.ts';
import { peaksWhile, peakWhile, residentMegabytes } from './resident-memory.ts';

/** In thousands alone. Fewer than a million say nothing of page 10,000 and of memory. */
const count = Number(process.env['RECORDS'] ?? 1_000_000);
const warmUpCount = Math.min(200_000, count);
const pageSize = 100;
const rounds = Number(process.env['ROUNDS'] ?? 15);
const maxPageRatio = 1.5;
const maxGrowthMegabytes = 50;
/** What has more than half of the work is the limit. */
const minShare = 0.5;
/** Of all records: those of the bench have this date. */
const byDate = '&from=2026-01-01';

/** As in docker-compose.yml: the young generation that it sets, and 75 % of its 384 MB. */
const shippedHeap = { NODE_OPTIONS: '--max-semi-space-size=8 --max-old-space-size=288' };

const say = (line: string): boolean => process.stderr.write(`${line}\n`);

interface Measured {
  ms: number;
  /** Of the processor time, the database's. */
  share: number;
  /** And what it has of that for putting an import aside. */
  stagingShare: number;
}

interface Result {
  medians: Medians;
  import: Measured;
  export: Measured;
  growthMegabytes: number;
  databaseGrowthMegabytes: number;
}

const measure = async (engine: string, api: RecordsProcess, load: DatabaseLoad): Promise<Result> => {
  const caller = createRecordsCaller(api);
  const { get } = caller;
  const pid = api.process().child.pid as number;
  // The heap gets as large as V8 lets it with any use; flat is what does not grow with the number of records.
  await caller.importRecords(warmUpCount);
  await caller.exportRecords(0);
  const before = residentMegabytes(pid);
  const { work: workSoFar, privateMegabytes = async () => 0 } = load;
  const databaseBefore = await privateMegabytes();
  const growth: number[] = [];
  const databaseGrowth: number[] = [];
  const grow = async (work: () => Promise<unknown>): Promise<Measured> => {
    const start = await workSoFar();
    let ms = 0;
    const timed = async (): Promise<void> => {
      const startMs = performance.now();
      await work();
      ms = performance.now() - startMs;
    };
    const [peak = 0] = await peaksWhile([pid], async () => {
      const databasePeak = await peakWhile(privateMegabytes, timed);
      databaseGrowth.push(Math.round(databasePeak - databaseBefore));
    });
    growth.push(Math.round(peak - before));
    const end = await workSoFar();
    const database = end.database - start.database;
    const all = database + end.api - start.api;
    return { ms, share: ratio(database, all), stagingShare: ratio(end.staging - start.staging, all) };
  };
  const imported = await grow(() => caller.importRecords(count));
  // Page 10,000 begins behind record 999,900.
  const last = (count / pageSize - 1) * pageSize;
  let [cursor, cursorByDate] = ['', ''];
  const exported = await grow(async () => {
    cursor = await caller.exportRecords(last);
  });
  await grow(async () => {
    cursorByDate = await caller.exportRecords(last, byDate);
  });
  const first = `/api/records?limit=${pageSize}`;
  const goOn = async (list: string, from: string): Promise<string> => {
    let page = `${list}&cursor=${encodeURIComponent(from)}`;
    for (let position = last - (last % 1_000); position < last; position += pageSize) {
      const { body, link } = await get(page);
      await body.dump();
      page = /<(.*)>/.exec(link)?.[1] as string;
    }
    return page;
  };
  const page = await goOn(first, cursor);
  const pageByDate = await goOn(`${first}${byDate}`, cursorByDate);
  const ask = (path: string) => async (): Promise<string> => (await get(path)).body.text();
  const medians = await interleave(
    [
      { name: `page 1, ${engine}`, operations: 100, run: ask(first) },
      { name: `page 10000, ${engine}`, operations: 100, run: ask(page) },
      { name: `page 1 by date, ${engine}`, operations: 100, run: ask(`${first}${byDate}`) },
      { name: `page 10000 by date, ${engine}`, operations: 100, run: ask(pageByDate) },
    ],
    rounds,
  );
  say(toTable(medians));
  for (const [name, { ms, share }] of Object.entries({ import: imported, export: exported }))
    say(
      `  ${engine}: ${name} ${Math.round(ms)} ms, the database has ${Math.round(share * 100)} % of the work`,
    );
  say(`  ${engine}: resident ${Math.round(before)} MiB, grew by ${growth.join(' and ')} MiB`);
  if (load.privateMegabytes)
    say(`  ${engine}: itself ${Math.round(databaseBefore)} MiB, grew by ${databaseGrowth.join(' and ')} MiB`);
  await caller.close();
  return {
    medians,
    import: imported,
    export: exported,
    growthMegabytes: Math.max(...growth),
    databaseGrowthMegabytes: Math.max(...databaseGrowth),
  };
};

const measureSqlite = async (): Promise<[Result, Baseline]> => {
  const { NODE_OPTIONS: heap } = shippedHeap;
  await using api = await startRecordsProcess({ NODE_OPTIONS: `${heap} --import=${sqliteTime}` });
  return [await measure('sqlite', api, sqliteLoad(api)), await sqliteLoop(count)];
};

const measurePostgres = async (): Promise<[Result, Awaited<ReturnType<typeof postgresCopy>>]> => {
  await using server = await startPostgres();
  const settings = await server.newDatabase();
  await using api = await startRecordsProcess({ ...settings, ...shippedHeap });
  const result = await measure('postgres', api, postgresLoad(api, server));
  const { pathname } = new URL(settings.DATABASE_URL);
  const copy = await postgresCopy({
    host: 'localhost',
    port: server.port,
    user: 'postgres',
    password: server.password,
    database: pathname.slice(1),
    ssl: { ca: server.ca },
  });
  return [result, copy];
};

const [sqlite, loop] = await measureSqlite();
const [postgres, copy] = await measurePostgres();
const onTheWay = await growthOnTheWay(count, warmUpCount, shippedHeap);
for (const [name, megabytes] of Object.entries(onTheWay)) say(`  ${name} grew by ${megabytes} MiB`);

const pageRatio = ({ medians }: Result, list: string): number =>
  ratio(medians[`page 10000${list}`], medians[`page 1${list}`]);
const pages = {
  'page-10000/page-1 sqlite': pageRatio(sqlite, ', sqlite'),
  'page-10000/page-1 postgres': pageRatio(postgres, ', postgres'),
  'page-10000/page-1 by date sqlite': pageRatio(sqlite, ' by date, sqlite'),
  'page-10000/page-1 by date postgres': pageRatio(postgres, ' by date, postgres'),
};
const shares = {
  'database/all import sqlite': sqlite.import.share,
  'database/all export sqlite': sqlite.export.share,
  'database/all import postgres': postgres.import.share,
  'database/all export postgres': postgres.export.share,
};
const ratios = {
  ...pages,
  ...shares,
  'staging/all import sqlite': sqlite.import.stagingShare,
  'import/sqlite-loop': ratio(sqlite.import.ms, loop.importMs),
  'export/sqlite-loop': ratio(sqlite.export.ms, loop.exportMs),
  'import/COPY': ratio(postgres.import.ms, copy.importMs),
  'export/COPY': ratio(postgres.export.ms, copy.exportMs),
  'export/pages': ratio(postgres.export.ms, copy.pagesMs),
};
const growth = {
  'records-api on sqlite': sqlite.growthMegabytes,
  'records-api on postgres': postgres.growthMegabytes,
  postgres: postgres.databaseGrowthMegabytes,
  ...Object.fromEntries(
    Object.entries(onTheWay).map(([name, megabytes]) => [`${name} on the way`, megabytes]),
  ),
};
const report = { ratios, medians: { ...sqlite.medians, ...postgres.medians }, growthMegabytes: growth };
process.stdout.write(`${JSON.stringify({ bench: 'records', node: process.version, rounds, ...report })}\n`);

const missed = [
  ...Object.entries(pages)
    .filter(([, pageRatio]) => !(pageRatio <= maxPageRatio))
    .map(([name]) => `${name} is more than ${maxPageRatio}`),
  ...Object.entries(shares)
    .filter(([, share]) => !(share >= minShare))
    .map(([name]) => `${name} is less than ${minShare}: the database is not the limit`),
  ...Object.entries(growth)
    .filter(([, megabytes]) => !(megabytes < maxGrowthMegabytes))
    .map(([name, megabytes]) => `${name} grew by ${megabytes} MiB`),
];
for (const bar of missed) say(`MISSED: ${bar}`);
process.exitCode = missed.length === 0 ? 0 : 1;
