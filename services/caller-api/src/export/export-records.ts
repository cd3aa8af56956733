import { getCACertificates } from 'node:tls';
import { setTimeout as delay } from 'node:timers/promises';
import { IdentityUnavailableError, type TokenSource } from '@countersign/shared-auth';
import got, { type Request, type Response } from 'got';
import type { ExportTarget } from './target.ts';

export interface ExportOptions {
  /** Address of records-api. */
  baseUrl: URL;
  scope: string;
  tokens: TokenSource;
  /** PEM certificates to trust in addition to those that Node trusts by default. */
  ca?: string | undefined;
  /** How long records-api may keep silent, in milliseconds. */
  timeoutMs: number;
  target: ExportTarget;
  signal: AbortSignal;
  /** Told of each try that broke off. */
  onBreak?: (error: unknown, delayMs: number) => void;
  /** Waits between tries. Default a timer. */
  sleep?: (ms: number, signal: AbortSignal) => Promise<unknown>;
}

/** records-api, or Entra, says no: to try again changes nothing. */
export class ExportRefusedError extends Error {
  override readonly name = 'ExportRefusedError';
}

/** No answer, or one that broke off; worth another try. */
export class ExportBrokenError extends Error {
  override readonly name = 'ExportBrokenError';
  readonly retryAfterMs: number;

  constructor(message: string, options: ErrorOptions & { retryAfterMs?: number } = {}) {
    super(message, options);
    this.retryAfterMs = options.retryAfterMs ?? 0;
  }
}

/** Tries in a row that bring nothing. */
const maxTries = 6;
const maxDelayMs = 60_000;

/**
 * Streams all records, as NDJSON, to a target, which keeps whole blocks of them with the cursor behind each. What breaks
 * off is taken up again behind the last block.
 *
 * @throws {ExportRefusedError} when that makes no sense
 * @throws the last failure, after six tries in a row without a block
 */
export const exportRecords = async (options: ExportOptions): Promise<void> => {
  const { target, signal, onBreak, sleep = (ms) => delay(ms, undefined, { signal }) } = options;
  for (let tries = 1; ; tries += 1) {
    const before = target.records;
    try {
      await exportOnce(options);
      return;
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof ExportBrokenError) && !(error instanceof IdentityUnavailableError)) throw error;
      if (target.records > before) tries = 1;
      if (tries >= maxTries) throw error;
      const askedMs =
        error instanceof ExportBrokenError ? error.retryAfterMs : error.retryAfterSeconds * 1000;
      const delayMs = Math.min(maxDelayMs, Math.max(askedMs, 500 * 2 ** (tries - 1)));
      onBreak?.(error, delayMs);
      await sleep(delayMs, signal);
    }
  }
};

const exportOnce = async (options: ExportOptions): Promise<void> => {
  const { tokens, scope } = options;
  const { accessToken } = await tokens.getToken({ scope });
  try {
    await receive(options, accessToken);
  } catch (error) {
    if (!(error instanceof TokenRefusedError)) throw error;
    // Once: it may have been withdrawn before its end.
    const other = await tokens.getToken({ scope, refused: accessToken });
    if (other.accessToken === accessToken) throw error;
    await receive(options, other.accessToken);
  }
};

class TokenRefusedError extends ExportRefusedError {}

const receive = async (options: ExportOptions, accessToken: string): Promise<void> => {
  const { target, timeoutMs, signal } = options;
  const stream = open(options, accessToken);
  const giveUp = (): void => void stream.destroy(signal.reason as Error);
  signal.addEventListener('abort', giveUp, { once: true });
  try {
    let rest = '';
    let block: string[] = [];
    for await (const text of withinTime(stream, timeoutMs)) {
      const lines = (rest + text).split('\n');
      rest = lines.pop() as string;
      for (const line of lines) {
        const cursor = cursorIn(line);
        if (cursor === undefined) block.push(line);
        else {
          await target.keep(block, cursor);
          block = [];
        }
      }
    }
    // Behind the last record stands a cursor, so this has been cut.
    if (rest !== '' || block.length > 0) throw new ExportBrokenError('the export broke off');
  } finally {
    signal.removeEventListener('abort', giveUp);
    stream.destroy();
  }
};

/** Ends a record's block; records begin with their id. */
const cursorIn = (line: string): string | undefined =>
  line.startsWith('{"cursor":') ? (JSON.parse(line) as { cursor: string }).cursor : undefined;

const open = ({ baseUrl, ca, timeoutMs, target }: ExportOptions, accessToken: string): Request => {
  const url = new URL('api/records/export', baseUrl.href.replace(/\/?$/, '/'));
  url.searchParams.set('checkpoints', 'true');
  if (target.cursor !== undefined) url.searchParams.set('cursor', target.cursor);
  return got.stream(url, {
    headers: { authorization: `Bearer ${accessToken}`, accept: 'application/x-ndjson' },
    ...(ca !== undefined && { https: { certificateAuthority: [...getCACertificates('default'), ca] } }),
    timeout: { connect: timeoutMs, response: timeoutMs },
    retry: { limit: 0 },
    // A redirect would carry the token to wherever it points.
    followRedirect: false,
    throwHttpErrors: false,
  });
};

/** The text of an answer with status 200. Silence is bounded only while it is waited for: whoever takes the records may be slow. */
async function* withinTime(stream: Request, timeoutMs: number): AsyncGenerator<string> {
  stream.setEncoding('utf8');
  const answered = new Promise<Response>((resolve) => {
    stream.once('response', resolve);
  });
  const chunks = stream[Symbol.asyncIterator]() as AsyncIterator<string>;
  const silent = (): void => void stream.destroy(new Error(`no data for ${timeoutMs} ms`));
  let isChecked = false;
  for (;;) {
    const timer = setTimeout(silent, timeoutMs);
    let next: IteratorResult<string>;
    try {
      next = await chunks.next();
    } catch (error) {
      throw new ExportBrokenError('records-api could not be reached, or the connection broke', {
        cause: withoutRequest(error),
      });
    } finally {
      clearTimeout(timer);
    }
    if (!isChecked) assertStarted(await answered, next.done === true ? '' : next.value);
    isChecked = true;
    if (next.done === true) return;
    yield next.value;
  }
}

/** On got's own errors hangs the request, with its token. */
const withoutRequest = (error: unknown): Error =>
  new Error(error instanceof Error ? error.message : String(error));

const assertStarted = ({ statusCode, headers }: Response, body: string): void => {
  if (statusCode === 200) return;
  const said = `records-api answered ${statusCode}: ${body.slice(0, 300)}`;
  if (statusCode === 401) throw new TokenRefusedError(said);
  if (statusCode < 500 && statusCode !== 429) throw new ExportRefusedError(said);
  const retryAfterMs = Number(headers['retry-after'] ?? 0) * 1000;
  throw new ExportBrokenError(said, { retryAfterMs: Number.isNaN(retryAfterMs) ? 0 : retryAfterMs });
};
