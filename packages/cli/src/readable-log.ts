import pinoPretty from 'pino-pretty';
import type { LogLine } from './service-process.ts';
import { oneLine } from './terminal.ts';

type LogRecord = Readonly<Record<string, unknown>>;

const text = (value: unknown): string =>
  typeof value === 'string' || typeof value === 'number' ? oneLine(`${value}`) : '';

const describe = (record: LogRecord): string => {
  const service = text(record['service.name']).padEnd(11);
  const method = record['http.request.method'];
  if (typeof method !== 'string')
    return `${service} ${text(record['msg'])}${cause(record)}${address(record)}`;
  const { 'url.path': path, 'http.response.status_code': status, duration_ms: duration } = record;
  return `${service} ${text(status)} ${text(method)} ${text(path)} ${text(duration)} ms${cause(record)}`;
};

const address = (record: LogRecord): string =>
  record['server.port'] === undefined
    ? ''
    : ` on ${text(record['server.address'])}:${text(record['server.port'])}`;

const cause = (record: LogRecord): string => {
  const { message } = (record['err'] ?? {}) as { message?: unknown };
  const refusal = record['error.type'];
  return `${refusal === undefined ? '' : `, ${text(refusal)}`}${message === undefined ? '' : `: ${text(message)}`}`;
};

/** Turns records into coloured lines for a person; a line that is no record stays as it is. */
export const readableLog = (colorize: boolean): ((line: LogLine) => string) => {
  const pretty = pinoPretty.prettyFactory({
    colorize,
    hideObject: true,
    errorLikeObjectKeys: [],
    translateTime: 'SYS:HH:MM:ss.l',
    messageFormat: describe,
    ignore: 'pid,hostname',
  });
  return ({ service, text: line, record }) =>
    record ? pretty({ ...record }) : `${service} ${oneLine(line)}\n`;
};
