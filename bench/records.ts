/**
 * records-api with a million records, on both databases: what the last page costs beside the first, how long export and
 * import take beside the database alone, and how much it and every process on the way through the gateway grows by
 * them. PostgreSQL runs in a container.
 */
import { startPostgres } from '../tests/containers/postgres-server.ts';
import { type RecordsProcess, startRecordsProcess } from '../tests/system/records-process.ts';
import { interleave, type Medians, ratio, toTable } from './interleave.ts';
import { type Baseline, postgresCopy, sqliteLoop } from './records-baselines.ts';
import { createRecordsCaller } from './records-caller.ts';
import { growthOnTheWay } from './records-way.ts';
import { peaksWhile, residentMegabytes } from './resident-memory.ts';

/** In thousands alone. Fewer than a million say nothing of page 10,000 and of memory. */
const count = Number(process.env['RECORDS'] ?? 1_000_000);
const warmUpCount = Math.min(200_000, count);
const pageSize = 100;
const rounds = Number(process.env['ROUNDS'] ?? 15);
const maxPageRatio = 1.5;
const maxGrowthMegabytes = 50;

/** As in docker-compose.yml: the young generation that it sets, and 75 % of its 384 MB. */
const shippedHeap = { NODE_OPTIONS: '--max-semi-space-size=8 --max-old-space-size=288' };

const say = (line: string): boolean => process.stderr.write(`${line}\n`);

interface Result {
  medians: Medians;
  importMs: number;
  exportMs: number;
  growthMegabytes: number;
}

const measure = async (engine: string, api: RecordsProcess): Promise<Result> => {
  const caller = createRecordsCaller(api);
  const { get } = caller;
  const pid = api.process().child.pid as number;
  // The heap gets as large as V8 lets it with any use; flat is what does not grow with the number of records.
  await caller.importRecords(warmUpCount);
  await caller.exportRecords(0);
  const before = residentMegabytes(pid);
  const growth: number[] = [];
  /** @returns how long it took, in milliseconds */
  const grow = async (work: () => Promise<unknown>): Promise<number> => {
    const startMs = performance.now();
    const [peak = 0] = await peaksWhile([pid], work);
    growth.push(Math.round(peak - before));
    return performance.now() - startMs;
  };
  const importMs = await grow(() => caller.importRecords(count));
  // Page 10,000 begins behind record 999,900.
  const last = (count / pageSize - 1) * pageSize;
  let cursor = '';
  const exportMs = await grow(async () => {
    cursor = await caller.exportRecords(last);
  });
  const first = `/api/records?limit=${pageSize}`;
  let page = `${first}&cursor=${encodeURIComponent(cursor)}`;
  for (let position = last - (last % 1_000); position < last; position += pageSize) {
    const { body, link } = await get(page);
    await body.dump();
    page = /<(.*)>/.exec(link)?.[1] as string;
  }
  const medians = await interleave(
    [
      { name: `page 1, ${engine}`, operations: 100, run: async () => (await get(first)).body.text() },
      { name: `page 10000, ${engine}`, operations: 100, run: async () => (await get(page)).body.text() },
    ],
    rounds,
  );
  say(toTable(medians));
  const growthMegabytes = Math.max(...growth);
  say(`  ${engine}: import ${Math.round(importMs)} ms, export ${Math.round(exportMs)} ms`);
  say(`  ${engine}: resident ${Math.round(before)} MiB, grew by ${growth.join(' and ')} MiB`);
  await caller.close();
  return { medians, importMs, exportMs, growthMegabytes };
};

const measureSqlite = async (): Promise<[Result, Baseline]> => {
  await using api = await startRecordsProcess(shippedHeap);
  return [await measure('sqlite', api), await sqliteLoop(count)];
};

const measurePostgres = async (): Promise<[Result, Awaited<ReturnType<typeof postgresCopy>>]> => {
  await using server = await startPostgres();
  const settings = await server.newDatabase();
  await using api = await startRecordsProcess({ ...settings, ...shippedHeap });
  const result = await measure('postgres', api);
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

const pageRatio = ({ medians }: Result, engine: string): number =>
  ratio(medians[`page 10000, ${engine}`], medians[`page 1, ${engine}`]);
const ratios = {
  'page-10000/page-1 sqlite': pageRatio(sqlite, 'sqlite'),
  'page-10000/page-1 postgres': pageRatio(postgres, 'postgres'),
  'import/sqlite-loop': ratio(sqlite.importMs, loop.importMs),
  'export/sqlite-loop': ratio(sqlite.exportMs, loop.exportMs),
  'import/COPY': ratio(postgres.importMs, copy.importMs),
  'export/COPY': ratio(postgres.exportMs, copy.exportMs),
  'export/pages': ratio(postgres.exportMs, copy.pagesMs),
};
const medians = {
  ...sqlite.medians,
  ...postgres.medians,
  residentGrowthMegabytesSqlite: sqlite.growthMegabytes,
  residentGrowthMegabytesPostgres: postgres.growthMegabytes,
  residentGrowthMegabytesOnTheWay: Math.max(...Object.values(onTheWay)),
};
process.stdout.write(
  `${JSON.stringify({ bench: 'records', node: process.version, rounds, ratios, medians })}\n`,
);

const missed = [
  ...(['sqlite', 'postgres'] as const)
    .filter((engine) => ratios[`page-10000/page-1 ${engine}`] > maxPageRatio)
    .map((engine) => `page 10,000 costs more than ${maxPageRatio} times page 1 on ${engine}`),
  ...(sqlite.growthMegabytes >= maxGrowthMegabytes ? ['memory grows on sqlite'] : []),
  ...(postgres.growthMegabytes >= maxGrowthMegabytes ? ['memory grows on postgres'] : []),
  ...Object.keys(onTheWay)
    .filter((name) => (onTheWay[name] as number) >= maxGrowthMegabytes)
    .map((name) => `memory of ${name} grows on the way`),
];
for (const bar of missed) say(`MISSED: ${bar}`);
process.exitCode = missed.length === 0 ? 0 : 1;
