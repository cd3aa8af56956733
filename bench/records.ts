/**
 * records-api with a million records, on both databases: what the last page costs beside the first, how long export and
 * import take beside the database alone, and how much the process grows by them. PostgreSQL runs in a container.
 */
import { readFileSync } from 'node:fs';
import { Agent, request } from 'undici';
import { startPostgres } from '../tests/containers/postgres-server.ts';
import { type RecordsProcess, startRecordsProcess } from '../tests/system/records-process.ts';
import { interleave, type Medians, ratio, toTable } from './interleave.ts';
import { type Baseline, postgresCopy, sqliteLoop } from './records-baselines.ts';

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

const dispatcher = new Agent({ headersTimeout: 0, bodyTimeout: 0 });

async function* lines(count: number): AsyncGenerator<string> {
  for (let first = 0; first < count; first += 1_000) {
    let text = '';
    for (let serial = first; serial < first + 1_000; serial += 1)
      text += `{"name":"Bench ${serial}","description":"Description of ${serial}","date":"2026-01-01T00:00:00.000Z"}\n`;
    yield text;
  }
}

/** Resident memory of a process, in MiB. */
const residentMegabytes = (pid: number): number =>
  Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;

/** The most that a process takes while something runs. */
const peakWhile = async (
  pid: number,
  work: () => Promise<unknown>,
): Promise<{ peak: number; ms: number }> => {
  let peak = 0;
  const timer = setInterval(() => {
    peak = Math.max(peak, residentMegabytes(pid));
  }, 50);
  const startMs = performance.now();
  await work();
  clearInterval(timer);
  return { peak, ms: performance.now() - startMs };
};

const callerOf = ({ url, token }: RecordsProcess) => {
  const headers = { authorization: `Bearer ${token}` };
  const get = async (
    path: string,
  ): Promise<{ body: Awaited<ReturnType<typeof request>>['body']; link: string }> => {
    const { statusCode, body, headers: answered } = await request(url + path, { headers, dispatcher });
    if (statusCode !== 200) throw new Error(`${path}: ${statusCode} ${await body.text()}`);
    return { body, link: String(answered['link'] ?? '') };
  };
  return {
    get,
    async importRecords(count: number): Promise<void> {
      const { statusCode, body } = await request(`${url}/api/records/import`, {
        method: 'POST',
        headers: { ...headers, 'content-type': 'application/x-ndjson' },
        body: lines(count) as never,
        dispatcher,
      });
      if (statusCode !== 200) throw new Error(`import: ${statusCode} ${await body.text()}`);
      await body.dump();
    },
    /** @returns the cursor behind the last record but 1,000 of those that stand before `behind` */
    async exportRecords(behind: number): Promise<string> {
      const { body } = await get('/api/records/export?checkpoints=true');
      let rest = '';
      let records = 0;
      let cursor = '';
      for await (const chunk of body.setEncoding('utf8')) {
        const parts = (rest + chunk).split('\n');
        rest = parts.pop() as string;
        for (const part of parts) {
          if (!part.startsWith('{"cursor"')) records += 1;
          else if (records <= behind) ({ cursor } = JSON.parse(part) as { cursor: string });
        }
      }
      if (records < behind) throw new Error(`${records} records were exported`);
      return cursor;
    },
  };
};

interface Result {
  medians: Medians;
  importMs: number;
  exportMs: number;
  growthMegabytes: number;
}

const measure = async (engine: string, api: RecordsProcess): Promise<Result> => {
  const caller = callerOf(api);
  const { get } = caller;
  const pid = api.process().child.pid as number;
  // The heap gets as large as V8 lets it with any use; flat is what does not grow with the number of records.
  await caller.importRecords(warmUpCount);
  await caller.exportRecords(0);
  const before = residentMegabytes(pid);
  const imported = await peakWhile(pid, () => caller.importRecords(count));
  // Page 10,000 begins behind record 999,900.
  const last = (count / pageSize - 1) * pageSize;
  let cursor = '';
  const exported = await peakWhile(pid, async () => {
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
  const growth = [imported, exported].map(({ peak }) => Math.round(peak - before));
  const growthMegabytes = Math.max(...growth);
  say(`  ${engine}: import ${Math.round(imported.ms)} ms, export ${Math.round(exported.ms)} ms`);
  say(`  ${engine}: resident ${Math.round(before)} MiB, grew by ${growth.join(' and ')} MiB`);
  return { medians, importMs: imported.ms, exportMs: exported.ms, growthMegabytes };
};

const measureSqlite = async (): Promise<[Result, Baseline]> => {
  await using api = await startRecordsProcess(shippedHeap);
  return [await measure('sqlite', api), await sqliteLoop(count)];
};

const measurePostgres = async (): Promise<[Result, Baseline]> => {
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
await dispatcher.close();

const pageRatio = ({ medians }: Result, engine: string): number =>
  ratio(medians[`page 10000, ${engine}`], medians[`page 1, ${engine}`]);
const ratios = {
  'page-10000/page-1 sqlite': pageRatio(sqlite, 'sqlite'),
  'page-10000/page-1 postgres': pageRatio(postgres, 'postgres'),
  'import/sqlite-loop': ratio(sqlite.importMs, loop.importMs),
  'export/sqlite-loop': ratio(sqlite.exportMs, loop.exportMs),
  'import/COPY': ratio(postgres.importMs, copy.importMs),
  'export/COPY': ratio(postgres.exportMs, copy.exportMs),
};
const medians = {
  ...sqlite.medians,
  ...postgres.medians,
  residentGrowthMegabytesSqlite: sqlite.growthMegabytes,
  residentGrowthMegabytesPostgres: postgres.growthMegabytes,
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
];
for (const bar of missed) say(`MISSED: ${bar}`);
process.exitCode = missed.length === 0 ? 0 : 1;
