import { createBlockOutput } from './block-output.ts';
import pino, { type DestinationStream, type Logger } from 'pino';

export type { Logger } from 'pino';

export interface LoggerOptions {
  /** `service.name` of every record. */
  name: string;
  /** `service.version` of every record. */
  version: string;
  /** Least severe level to log. Default `info`. */
  level?: string;
  /** Where records go. Default standard output. */
  destination?: DestinationStream;
  /**
   * Writes records by the block, for a service whose every microsecond counts: those of the last fifth of a second are
   * lost when the process is killed. Default: each record is written before the call returns.
   */
  buffered?: boolean;
}

/**
 * One JSON object per line, with OpenTelemetry's names (`service.name`, `trace_id`, `http.request.method` …),
 * the level as a word and the time in ISO 8601.
 */
export const createLogger = (options: LoggerOptions): Logger =>
  pino(
    {
      level: options.level ?? 'info',
      base: { pid: process.pid, 'service.name': options.name, 'service.version': options.version },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: describeError, req: describeRequest, res: describeResponse },
    },
    options.destination ??
      (options.buffered ? createBlockOutput(1) : pino.destination({ dest: 1, sync: true })),
  );

interface LoggerParts {
  [pino.symbols.streamSym]: DestinationStream;
  /** What every record has: `,"name":value` for each. */
  [pino.symbols.chindingsSym]: string;
}

/**
 * Writes a record whose members are JSON text already: what pino would spend most of its time on is done. Whether the
 * level is logged has been asked.
 */
export const writeMembers = (
  logger: Logger,
  level: 'info' | 'error',
  members: string,
  message: string,
): void => {
  const { [pino.symbols.streamSym]: stream, [pino.symbols.chindingsSym]: bindings } =
    logger as unknown as LoggerParts;
  const time = isoTime(Date.now());
  stream.write(`{"level":"${level}","time":"${time}"${bindings},${members},"msg":"${message}"}\n`);
};

let second = 0;
let untilSecond = '';

/** As `toISOString`, which works out the same date for each record of a second. */
export const isoTime = (ms: number): string => {
  const whole = Math.floor(ms / 1_000);
  if (whole !== second) {
    second = whole;
    untilSecond = new Date(whole * 1_000).toISOString().slice(0, 20);
  }
  return `${untilSecond}${String(Math.floor(ms) - whole * 1_000).padStart(3, '0')}Z`;
};

/** What a log may say of a request: never its headers, its query or its body. */
const describeRequest = ({ method, url }: { method?: unknown; url?: unknown }): Record<string, unknown> => ({
  method,
  ...(typeof url === 'string' && { path: withoutTokens(url.split('?', 1)[0] as string).slice(0, 1_024) }),
});

const describeResponse = ({ statusCode }: { statusCode?: unknown }): Record<string, unknown> => ({
  statusCode,
});

interface ErrorDescription {
  type: string;
  message: string;
  code?: string;
  stack?: string;
  cause?: ErrorDescription;
}

/**
 * What a log may say of an error: a whitelist. Errors of HTTP clients and auth libraries carry whole requests,
 * with their credentials, as further properties. Anything that looks like a JWT is blanked in the texts, too.
 */
export const describeError = (error: unknown, depth = 0): ErrorDescription => {
  if (!(error instanceof Error)) return { type: typeof error, message: withoutTokens(String(error)) };
  const { code } = error as { code?: unknown };
  return {
    type: error.name,
    message: withoutTokens(error.message),
    ...(typeof code === 'string' && { code }),
    ...(error.stack !== undefined && { stack: withoutTokens(error.stack) }),
    ...(error.cause !== undefined && depth < 4 && { cause: describeError(error.cause, depth + 1) }),
  };
};

/** Blanks what looks like a JWT or the start of one. */
export const withoutTokens = (text: string): string =>
  text.replaceAll(/eyJ[\w-]{8,}(?:\.[\w-]*)*/g, '[token]');
