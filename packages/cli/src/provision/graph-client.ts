import { randomUUID } from 'node:crypto';
import { type Agent, fetch, type Response } from 'undici';
import { networkCause } from '../call-command.ts';
import { CommandError } from '../command-error.ts';

export interface GraphClientOptions {
  /** Such as `https://graph.microsoft.com`. */
  origin: string;
  /** A token for Graph. */
  token: string;
  dispatcher: Agent;
  /** Waits; a parameter, so that tests need not. */
  pause: (ms: number) => Promise<void>;
  /** Told of each wait: why, and how many milliseconds. */
  onRetry?: (reason: string, ms: number) => void;
}

export interface GraphRequestOptions {
  body?: unknown;
  createIfMissing?: boolean;
  /** Answers that pass by themselves, since what they miss was made a moment ago. */
  isTransient?: (error: GraphError) => boolean;
  /** Statuses that are answers and no errors. */
  accept?: readonly number[];
}

export interface GraphAnswer<Body> {
  status: number;
  body: Body;
}

/** Microsoft Graph v1.0, as one identity sees it. */
export interface GraphClient {
  /** @throws {GraphError} for a refusal; {@link CommandError} when no answer came in all its attempts. */
  request<Body = unknown>(
    method: string,
    path: string,
    options?: GraphRequestOptions,
  ): Promise<GraphAnswer<Body>>;
  /** Every page of a collection. */
  list<Item>(path: string): Promise<Item[]>;
}

/** A refusal of Graph, in its words. */
export class GraphError extends CommandError {
  override readonly name = 'GraphError';
  readonly status: number;
  /** Such as `Authorization_RequestDenied`. */
  readonly code: string;
  readonly details: readonly string[];

  constructor(status: number, code: string, message: string, details: readonly string[] = []) {
    super(message);
    this.status = status;
    this.code = code;
    this.details = details;
  }
}

const maxAttempts = 10;
const maxPauseMs = 60_000;
const timeoutMs = 30_000;

/** Seconds or a date (RFC 9110 §10.2.3). */
const retryAfterMs = (header: string | null): number | undefined => {
  if (header === null) return undefined;
  const seconds = /^\d+$/.test(header) ? Number(header) * 1000 : Date.parse(header) - Date.now();
  return Number.isFinite(seconds) ? Math.max(0, seconds) : undefined;
};

const errorOf = async (response: Response, what: string): Promise<GraphError> => {
  const text = await response.text();
  try {
    const { error } = JSON.parse(text) as {
      error: { code: string; message: string; details?: { code?: string }[] };
    };
    const details = (error.details ?? []).flatMap(({ code }) => code ?? []);
    return new GraphError(response.status, error.code, `${what}: ${error.code}: ${error.message}`, details);
  } catch {
    return new GraphError(
      response.status,
      'Unknown',
      `${what}: ${response.status}, and no answer of Graph's`,
    );
  }
};

export const createGraphClient = ({
  origin,
  token,
  dispatcher,
  pause,
  onRetry,
}: GraphClientOptions): GraphClient => {
  const send = (
    method: string,
    url: string,
    { body, createIfMissing }: GraphRequestOptions,
  ): Promise<Response> =>
    fetch(url, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        accept: 'application/json',
        'client-request-id': randomUUID(),
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...(createIfMissing && { prefer: 'create-if-missing' }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      dispatcher,
      redirect: 'error',
      signal: AbortSignal.timeout(timeoutMs),
    });

  const request = async <Body>(
    method: string,
    path: string,
    options: GraphRequestOptions = {},
  ): Promise<GraphAnswer<Body>> => {
    const url = path.startsWith('https://') ? path : `${origin}/v1.0/${path}`;
    const what = `${method} ${new URL(url).pathname}`;
    for (let attempt = 1; ; attempt += 1) {
      let failure: CommandError;
      let askedMs: number | undefined;
      try {
        const response = await send(method, url, options);
        if (response.ok || options.accept?.includes(response.status)) {
          const text = await response.text();
          return { status: response.status, body: (text === '' ? undefined : JSON.parse(text)) as Body };
        }
        askedMs = retryAfterMs(response.headers.get('retry-after'));
        const error = await errorOf(response, what);
        const passes = error.status === 429 || error.status >= 500 || options.isTransient?.(error);
        if (!passes) throw error;
        failure = error;
      } catch (error) {
        if (error instanceof GraphError) throw error;
        failure = new CommandError(`${what}: no answer from ${origin}: ${networkCause(error)}`);
      }
      if (attempt === maxAttempts) throw failure;
      // Half of the wait is by chance, so that two runs do not meet again.
      const backOffMs = Math.min(250 * 2 ** attempt, 15_000) * (0.5 + Math.random() / 2);
      const waitMs = Math.min(askedMs ?? backOffMs, maxPauseMs);
      onRetry?.(failure.message, waitMs);
      await pause(waitMs);
    }
  };

  return {
    request,
    async list<Item>(path: string) {
      const items: Item[] = [];
      let next: string | undefined = path;
      const seen = new Set<string>();
      while (next !== undefined) {
        if (seen.has(next)) throw new CommandError(`Graph names a page twice: ${path}`);
        seen.add(next);
        const { body }: GraphAnswer<{ value: Item[]; '@odata.nextLink'?: string }> = await request(
          'GET',
          next,
        );
        items.push(...body.value);
        next = body['@odata.nextLink'];
        // The token must not follow a link to anywhere else.
        if (next !== undefined && new URL(next).origin !== origin) {
          throw new CommandError(`Graph names a next page at another host: ${new URL(next).origin}`);
        }
      }
      return items;
    },
  };
};
