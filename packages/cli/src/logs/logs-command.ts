import { createReadStream, existsSync } from 'node:fs';
import { addAbortSignal, type Readable } from 'node:stream';
import type { Command } from 'commander';
import { UsageError } from '../command-error.ts';
import { writePrivately } from '../private-file.ts';
import { jsonText, oneLine, type Paint, painter, type Terminal } from '../terminal.ts';
import { createCollector } from './collector.ts';
import { type PageEntry, renderPage } from './html.ts';
import { follow, logFile } from './log-file.ts';
import { interleaved, linesOf, oldestFirst } from './log-lines.ts';
import {
  applicationName,
  createFilter,
  type FilterOptions,
  type LoggedRequest,
  requestOf,
} from './request.ts';
import type { Span } from './span.ts';
import { buildTrace } from './trace.ts';
import { milliseconds, renderWaterfall, statusStyle } from './waterfall.ts';

interface LogsOptions extends FilterOptions {
  data?: string;
  follow?: boolean;
  waterfall?: boolean;
  html?: string;
  limit: string;
  json?: boolean;
}

/** When nothing comes for this long, requests whose outermost record is there are shown: live, and else. */
const settleMs = { live: 250, else: 2_000 };

/** What a stream says until then. */
async function* readUntil(stream: Readable, until: AbortSignal): AsyncGenerator<Buffer | string> {
  try {
    yield* addAbortSignal(until, stream);
  } catch (error) {
    if (!until.aborted) throw error;
  }
}

const sourcesOf = (
  files: readonly string[],
  options: LogsOptions,
  stdin: NodeJS.ReadStream,
  until: AbortSignal,
): AsyncIterable<Buffer | string>[] => {
  const isSystem = files.length === 0 && (options.data !== undefined || stdin.isTTY);
  if (files.length === 0 && !isSystem) return [readUntil(stdin, until)];
  const paths = isSystem ? [logFile(options.data ?? 'data')] : files;
  return paths.map((path) => {
    if (path === '-') return readUntil(stdin, until);
    if (!existsSync(path)) {
      throw new UsageError(
        isSystem ? `No log at ${path}. Start the system first: npm start` : `No file ${path}.`,
      );
    }
    return options.follow
      ? follow(path, until)
      : readUntil(createReadStream(path, { highWaterMark: 256 * 1024 }), until);
  });
};

const tableRow = (request: LoggedRequest, paint: Paint): string => {
  const { startMs, method, route, path, status, durationMs, azp, cause, traceId } = request;
  const target = oneLine(route === '' ? path : `${method} ${path}`);
  const shownTarget = target.length > 36 ? `${target.slice(0, 35)}…` : target.padEnd(36);
  return [
    new Date(startMs).toISOString().slice(11, 23),
    paint(statusStyle(status), String(status ?? '–').padStart(3)),
    milliseconds(durationMs).padStart(8),
    shownTarget,
    paint('cyan', oneLine(azp === undefined ? '–' : applicationName(azp)).padEnd(10)),
    paint('gray', oneLine(traceId.slice(0, 8))),
    cause === undefined ? '' : paint('yellow', oneLine(cause)),
  ]
    .join('  ')
    .trimEnd();
};

const header =
  'TIME          STATUS    TIME  REQUEST                               CALLER      TRACE     CAUSE';

/** The newest ones, for the page. */
const createRing = (size: number) => {
  const entries: (readonly Span[])[] = [];
  return {
    push(spans: readonly Span[]): void {
      entries.push(spans);
      if (entries.length > size) entries.shift();
    },
    entries,
  };
};

/** `countersign logs`: requests in the services' logs, and how each went through them. */
export const addLogs = (program: Command, terminal: Terminal): void => {
  const { stdin, stdout, stderr } = terminal;
  program
    .command('logs')
    .summary('list requests in the logs, and draw how they went through the services')
    .description(
      'Reads what services log, from files, standard input or the local system that runs, and lists requests: one line for each, with all services that took part. Draws one as a waterfall.',
    )
    .argument('[files...]', 'files of log lines; "-" or nothing reads standard input')
    .option('--data <folder>', 'the log of the local system on this folder (default on a terminal: data)')
    .option('--follow', 'show requests as they happen; go on reading files as they grow, until Ctrl-C')
    .option('--status <list>', 'such as 4xx, 503 or aborted; several with commas')
    .option('--azp <application>', 'calling application: client id, or api2 of the local system')
    .option('--slow <time>', 'those that took at least this long, such as 200ms')
    .option('--since <time>', 'the last 5m, 2h, 1d; or since a time in ISO 8601')
    .option('--route <text>', 'those whose method, path or route has this in it')
    .option('--service <name>', 'those that this service took part in')
    .option('--trace <id>', 'the one with this trace id or request id, as a waterfall')
    .option('--waterfall', 'draw every request')
    .option('--html <file>', 'write one self-contained page with the newest requests')
    .option('--limit <count>', 'how many requests the page holds', '200')
    .option('--json', 'one line of JSON for each request')
    .addHelpText(
      'after',
      `
Examples:
  countersign logs --follow                          the system that npm start runs
  countersign logs --status 4xx,5xx --since 5m
  countersign logs --trace 58644b91
  docker compose logs --no-color --follow | countersign logs --follow --slow 200ms
  kubectl logs -l app.kubernetes.io/part-of=countersign --prefix --tail -1 | countersign logs --html requests.html

Lines that are no records are counted and told at the end.`,
    )
    .action(async (files: string[], options: LogsOptions) => {
      const limit = Number(options.limit);
      if (!(Number.isInteger(limit) && limit >= 1 && limit <= 10_000)) {
        throw new UsageError('--limit has to be 1 to 10000.');
      }
      const paint = painter(stdout);
      const passes = createFilter(options, Date.now());
      const ring = createRing(limit);
      let count = 0;
      let output: string[] = [];
      const show = (request: LoggedRequest, spans: readonly Span[]): void => {
        if (options.json)
          output.push(
            jsonText(
              options.waterfall || options.trace
                ? { ...request, spans: spans.map(({ record }) => record) }
                : request,
            ),
          );
        else if (options.waterfall || options.trace) output.push(renderWaterfall(buildTrace(spans), paint));
        else if (options.html === undefined) output.push(tableRow(request, paint));
      };
      const collector = createCollector({
        ...(options.follow && { settleLines: 200 }),
        clock: () => performance.now(),
        onRequest(spans) {
          const request = requestOf(spans);
          if (!passes(request)) return;
          if (
            count === 0 &&
            !options.json &&
            !options.waterfall &&
            !options.trace &&
            options.html === undefined
          ) {
            output.push(paint('bold', header));
          }
          count += 1;
          if (options.html !== undefined) ring.push(spans);
          show(request, spans);
        },
      });
      const write = async (): Promise<void> => {
        if (output.length === 0) return;
        const text = `${output.join('\n')}\n`;
        output = [];
        if (!stdout.write(text)) await new Promise((resolve) => stdout.once('drain', resolve));
      };

      const sources = sourcesOf(files, options, stdin, terminal.untilStopped()).map(linesOf);
      const idle = setInterval(
        () => {
          collector.settle();
          void write();
        },
        options.follow ? settleMs.live : settleMs.else,
      );
      try {
        for await (const lines of options.follow ? interleaved(sources) : oldestFirst(sources)) {
          for (const line of lines) collector.add(line);
          await write();
          idle.refresh();
        }
      } finally {
        clearInterval(idle);
      }
      collector.end();
      await write();
      if (options.html !== undefined) {
        const entries = ring.entries.map((spans): PageEntry => ({
          request: requestOf(spans),
          trace: buildTrace(spans),
        }));
        const note = `${entries.length} of ${count} requests, out of ${collector.lines()} lines; ${collector.broken()} were no records.`;
        await writePrivately(options.html, renderPage(entries.toReversed(), note));
        stderr.write(`${options.html}: ${note}\n`);
        return;
      }
      const broken = collector.broken();
      stderr.write(
        `${count} requests in ${collector.lines()} lines${broken > 0 ? `; ${broken} lines were no records` : ''}\n`,
      );
    });
};
