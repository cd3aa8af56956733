import { describe, expect, test } from '@jest/globals';
import { renameSync, writeFileSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { runCommand } from '../run-command.ts';
import { type Call, cold, failedToken, fanOut, linesOf, refused, retried, warm } from './fixtures.ts';

/** The file's text; with `UPDATE_GOLDEN=1` it is written first, for a person to look at. */
const golden = async (name: string, text: string): Promise<string> => {
  const path = fileURLToPath(new URL(`golden/${name}`, import.meta.url));
  if (process.env['UPDATE_GOLDEN'] === '1') await writeFile(path, text);
  return readFile(path, 'utf8');
};

const logs = (lines: readonly string[], ...options: string[]) =>
  runCommand(['logs', ...options], { stdin: lines.join('\n') });

const serviceIn = (line: string): string => (JSON.parse(line) as { 'service.name': string })['service.name'];

const everything = (): string[] =>
  [cold, warm, failedToken, retried, fanOut, refused].flatMap((call, index) => linesOf(call, index + 1));

describe('countersign logs', () => {
  test.each<[string, Call, Record<string, number>]>([
    ['cold', cold, {}],
    ['warm', warm, {}],
    ['failed-token', failedToken, {}],
    ['retried', retried, {}],
    ['fan-out', fanOut, {}],
    ['refused', refused, {}],
    ['skewed', cold, { 'records-api': 400, 'local-entra': -3000 }],
  ])('draws the tree of a %s request', async (name, call, skew) => {
    const { stdout, stderr } = await logs(linesOf(call, 7, skew), '--waterfall');
    expect(stderr).toMatch(/^1 requests in \d+ lines\n$/);
    expect(stdout).toBe(await golden(`${name}.txt`, stdout));
  });

  test('lists requests, one line each', async () => {
    const { stdout } = await logs(everything());
    expect(stdout).toBe(await golden('table.txt', stdout));
  });

  test('writes one page that needs nothing else', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'logs-'));
    const file = join(folder, 'page.html');
    const hostile = linesOf({ ...refused, route: '/<script>alert(1)</script>' }, 9);
    await logs([...everything(), ...hostile], '--html', file);
    const page = await readFile(file, 'utf8');
    expect(page).not.toMatch(/<script|https?:\/\/|src=|url\(/i);
    expect(page).toContain('&lt;script&gt;');
    expect(page).toBe(await golden('page.html.txt', page));
    await rm(folder, { recursive: true });
  });

  test.each<[string[], number[]]>([
    [['--status', '4xx'], [403]],
    [
      ['--status', '403,5xx'],
      [503, 403],
    ],
    [['--azp', 'api3'], [403]],
    [['--azp', 'a9100003-0000-4000-8000-000000000003'], [403]],
    [['--slow', '200ms'], [200]],
    [['--slow', '0.2s'], [200]],
    [['--route', '/api/records'], [403]],
    [
      ['--service', 'local-entra'],
      [200, 503],
    ],
    [['--trace', 'request-3'], [503]],
    [['--since', '2026-11-22T10:00:06Z'], [403]],
    [['--since', '5m'], []],
  ])('filters by %s', async (options, statuses) => {
    const { stdout } = await logs(everything(), '--json', ...options);
    const found = stdout
      .split('\n')
      .filter(Boolean)
      .map((line) => (JSON.parse(line) as { status: number }).status);
    expect(found).toEqual(statuses);
  });

  test.each<[string, (line: string) => string]>([
    ['docker compose logs', (line) => `records-api-1  | ${line}`],
    ['docker compose logs -t', (line) => `gateway-1  | 2026-11-22T10:00:00.1Z ${line}`],
    ['kubectl logs --prefix', (line) => `[pod/gateway-5d8/gateway] ${line}`],
    ['Windows', (line) => `${line}\r`],
  ])('reads the lines of %s', async (_, wrap) => {
    const { stderr } = await logs(everything().map(wrap));
    expect(stderr).toMatch(/^6 requests in \d+ lines\n$/);
  });

  test('broken lines are counted, told at the end, and never fatal', async () => {
    const broken = ['{"level":', 'Error: no', '[1,2]', '"text"', '{}{', '\u0000', '{"a":1}'];
    const odd = [
      '{"http.request.method":"GET","duration_ms":1e400,"trace_id":"t","span_id":"s"}',
      '{"http.request.method":"GET","duration_ms":1,"trace_id":"t","span_id":"s","start":"never"}',
      '{"http.request.method":"GET","duration_ms":1,"trace_id":{},"span_id":[],"start":"2026-01-01"}',
    ];
    const { code, stderr } = await logs([...broken, ...odd, ...everything()]);
    expect(stderr).toMatch(/^6 requests in \d+ lines; 6 lines were no records\n$/);
    expect(code).toBe(0);
  });

  test('spans in a circle, or without the one that called them, are shown', async () => {
    const circle = linesOf(warm, 8).map((line) => {
      const record = JSON.parse(line) as Record<string, unknown>;
      return JSON.stringify({ ...record, parent_span_id: record['span_id'] });
    });
    const { stdout } = await logs(circle, '--waterfall');
    expect(stdout.match(/(gateway|caller-api|records-api) GET/g)).toHaveLength(3);
  });

  const services = (stdout: string): string[] =>
    stdout
      .trimEnd()
      .split('\n')
      .map((line) => (JSON.parse(line) as { services: string[] }).services.toSorted().join());

  test('services that come one after the other, as kubectl logs gives them, are put together', async () => {
    const lines = Array.from({ length: 1_000 }, (_, index) => linesOf(warm, index)).flat();
    const dump = lines
      .toSorted((left, right) => serviceIn(left).localeCompare(serviceIn(right)))
      .toReversed();
    const { stdout } = await logs(dump, '--json');
    expect(services(stdout)).toEqual(Array.from({ length: 1_000 }, () => 'caller-api,gateway,records-api'));
  });

  test('files of services are read by the time of their records', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'logs-'));
    const lines = Array.from({ length: 12_000 }, (_, index) => linesOf(warm, index)).flat();
    const files = ['gateway', 'caller-api', 'records-api'].map((service) => join(folder, `${service}.log`));
    for (const file of files) {
      await writeFile(file, lines.filter((line) => file.endsWith(`${serviceIn(line)}.log`)).join('\n'));
    }
    const { stdout } = await logs([], ...files, '--json');
    expect(services(stdout)).toEqual(Array.from({ length: 12_000 }, () => 'caller-api,gateway,records-api'));
    await rm(folder, { recursive: true });
  });

  test('--follow shows a request as it happens, whoever traces its client, until Ctrl-C', async () => {
    const stdin = new PassThrough();
    const stop = new AbortController();
    const shown: string[] = [];
    const foreign = (trace: number): string[] =>
      linesOf(warm, trace).map((line) =>
        line.includes('parent_span_id') ? line : line.replace('{', '{"parent_span_id":"00f067aa0ba902b7",'),
      );
    const ran = runCommand(['logs', '--follow'], {
      stdin,
      stop: stop.signal,
      onOutput(text) {
        shown.push(...text.trimEnd().split('\n').slice(-1));
        if (shown.length === 1) stdin.write(`${foreign(2).join('\n')}\nno record\n`);
        else stop.abort();
      },
    });
    stdin.write(`${foreign(1).join('\n')}\n`);
    const { code, stderr } = await ran;
    expect(shown).toEqual([
      expect.stringMatching(/200 .* \/caller .* 00000000/),
      expect.stringMatching(/200 .* \/caller .* 00000000/),
    ]);
    expect(stderr).toBe('2 requests in 7 lines; 1 lines were no records\n');
    expect(code).toBe(0);
  });

  test('--follow reads all files, goes on where one is replaced, and tells of broken lines at its end', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'logs-'));
    const [first, second] = [join(folder, 'first.log'), join(folder, 'second.log')];
    await writeFile(first, `${linesOf(refused, 1).join('\n')}\n`);
    await writeFile(second, `${linesOf(refused, 2).join('\n')}\n`);
    const stop = new AbortController();
    let rows = 0;
    const { stderr } = await runCommand(['logs', '--follow', '--json', first, second], {
      stop: stop.signal,
      onOutput(text) {
        rows += text.trimEnd().split('\n').length;
        if (rows === 2) {
          renameSync(first, `${first}.1`);
          writeFileSync(first, `${linesOf(refused, 3).join('\n')}\nbroken\n`);
        } else if (rows === 3) stop.abort();
      },
    });
    expect(stderr).toBe('3 requests in 7 lines; 1 lines were no records\n');
    await rm(folder, { recursive: true });
  });

  test('records of one request that come after its outermost one belong to it', async () => {
    const lines = linesOf(cold, 5);
    const { stderr } = await logs([...lines.slice(-1), ...lines.slice(0, -1)]);
    expect(stderr).toMatch(/^1 requests/);
  });

  test.each([[2], [4, '--waterfall'], [1, '--json', '--waterfall']] as const)(
    'no text of a record acts on a terminal, or looks like a row of its own: %i lines, %s',
    async (count, ...options: string[]) => {
      const record = JSON.parse(linesOf(refused, 1).at(-1) as string) as Record<string, unknown>;
      const hostile = Object.entries(record).map(([name, value]) =>
        typeof value === 'string' && name !== 'start'
          ? [name, `\u001B[2J\n\u009B\u202E${value}`]
          : [name, value],
      );
      const { stdout } = await logs([JSON.stringify(Object.fromEntries(hostile))], ...options);
      // oxlint-disable-next-line no-control-regex
      expect(stdout).not.toMatch(/[\u001B\u009B\u202E]/);
      expect(stdout.trimEnd().split('\n')).toHaveLength(count);
    },
  );

  test.each<[string[], string]>([
    [['--status', 'bad'], '--status has to list'],
    [['--slow', 'soon'], '--slow has to be a time'],
    [['--since', 'yesterday'], '--since has to be a time'],
    [['--trace', 'x'], '--trace has to be'],
    [['--limit', '0'], '--limit has to be'],
    [['/nowhere.log'], 'No file /nowhere.log'],
    [['--data', '/nowhere'], 'Start the system first'],
    [['--stats'], "unknown option '--stats'"],
  ])('%s: a sentence, and 64', async (options, sentence) => {
    const { code, stderr } = await logs([], ...options);
    expect(stderr).toContain(sentence);
    expect(code).toBe(64);
  });

  test('memory does not grow with the number of lines', async () => {
    const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
    const child = spawn(process.execPath, ['--conditions=source', main, 'logs', '--status', '5xx'], {
      stdio: ['pipe', 'ignore', 'pipe'],
    });
    let said = '';
    child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
    const peakMegabytes = async (): Promise<number> =>
      Number(/VmHWM:\s+(\d+)/.exec(await readFile(`/proc/${child.pid}/status`, 'utf8'))?.[1]) / 1024;
    const send = async (from: number, to: number): Promise<void> => {
      for (let trace = from; trace < to; trace += 1) {
        if (!child.stdin.write(`${linesOf(warm, trace).join('\n')}\n`)) await once(child.stdin, 'drain');
      }
    };
    await send(1, 14_000);
    const early = await peakMegabytes();
    await send(14_000, 30_000);
    const late = await peakMegabytes();
    child.stdin.end();
    await once(child, 'close');
    expect(said).toContain('0 requests in 89997 lines');
    expect(late - early).toBeLessThan(60);
  }, 30_000);
});
