import { parseArgs } from 'node:util';
import { ConfigError, createLogger, type Logger } from '@countersign/service-kit';
import { IdentityUnavailableError, TokenAcquisitionError, type TokenSource } from '@countersign/shared-auth';
import { type CallerConfig, parseCallerConfig } from '../config.ts';
import { ExportBrokenError, exportRecords, ExportRefusedError } from './export-records.ts';
import { showProgress } from './progress.ts';
import { ExportOutputError, ExportUsageError, openTarget } from './target.ts';

/** What the job ends with, as sysexits.h numbers it; docs/caller-api.md lists them. */
export const exitCodes = {
  done: 0,
  /** A configuration that cannot be used, or a fault of the program. */
  fault: 1,
  usage: 64,
  output: 74,
  /** It may work later: Entra or records-api cannot be reached, or the job was stopped. */
  tryAgain: 75,
  refused: 77,
} as const;

/** Tokens whose connection to a shared cache, if they have one, can be closed. */
export type ClosableTokenSource = TokenSource & Disposable;

export interface JobOptions {
  service: { name: string; version: string };
  args: readonly string[];
  process: NodeJS.Process;
  tokensOf: (config: CallerConfig) => ClosableTokenSource;
}

/**
 * `caller-api --once export`: all records to standard output, as NDJSON. The log goes to standard error, and on a
 * terminal the progress.
 *
 * @returns the exit code
 */
export const runJob = async ({ service, args, process, tokensOf }: JobOptions): Promise<number> => {
  const { stdout, stderr, env } = process;
  const logger = createLogger({ ...service, destination: stderr });
  const stopping = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stopping.abort());
  const progress = showProgress(stderr);
  try {
    const progressFile = readArguments(args);
    const config = parseCallerConfig(env);
    using tokens = tokensOf(config);
    const target = openTarget({ output: stdout, progressFile, onBlock: progress.show });
    await exportRecords({
      baseUrl: config.RECORDS_API_URL,
      scope: config.RECORDS_API_SCOPE,
      tokens,
      ca: config.CA_FILE,
      timeoutMs: config.RECORDS_API_TIMEOUT_MS,
      target,
      signal: stopping.signal,
      onBreak: (error, delayMs) => {
        progress.clear();
        logger.warn({ err: error, delay_ms: delayMs, records: target.records }, 'the export broke off');
      },
    });
    target.finish();
    progress.end(target.records);
    logger.info({ records: target.records }, 'exported');
    return exitCodes.done;
  } catch (error) {
    progress.clear();
    return report(error, stopping.signal.aborted, logger);
  }
};

const report = (error: unknown, isStopped: boolean, logger: Logger): number => {
  if (isStopped) {
    logger.warn('stopped before the end');
    return exitCodes.tryAgain;
  }
  if (error instanceof ConfigError || error instanceof ExportUsageError) {
    logger.fatal(error.message);
    return error instanceof ConfigError ? exitCodes.fault : exitCodes.usage;
  }
  const code = codeOf(error);
  const { logFields } = Object(error) as { logFields?: object };
  logger.fatal({ err: error, ...logFields }, 'the export cannot go on');
  return code;
};

const codeOf = (error: unknown): number => {
  if (error instanceof ExportOutputError) return exitCodes.output;
  if (error instanceof ExportRefusedError || error instanceof TokenAcquisitionError) return exitCodes.refused;
  const isPassing = error instanceof IdentityUnavailableError || error instanceof ExportBrokenError;
  return isPassing ? exitCodes.tryAgain : exitCodes.fault;
};

/** @returns the file of `--resume`. @throws {ExportUsageError} */
const readArguments = (args: readonly string[]): string | undefined => {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: { once: { type: 'string' }, resume: { type: 'string' } },
    });
    if (values.once === 'export') return values.resume;
  } catch {
    // Told below.
  }
  throw new ExportUsageError('Usage: caller-api [--once export [--resume <file>]]');
};
