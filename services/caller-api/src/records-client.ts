import { getCACertificates } from 'node:tls';
import { ProblemError, propagationHeaders, type RequestContext } from '@countersign/service-kit';
import type { TokenSource } from '@countersign/shared-auth';
import got, { type Response, RequestError, TimeoutError } from 'got';
import { z } from 'zod';

const recordsSchema = z.array(
  z.object({ id: z.number(), name: z.string(), description: z.string(), date: z.string() }),
);

/** Records as records-api gives them. */
export type Records = z.output<typeof recordsSchema>;

/** What one call took, for the log and for whoever looks at the page. */
export interface RecordsCall {
  records: Records;
  /** Whether the token came from the cache; otherwise from Entra. */
  tokenFromCache: boolean;
  tokenDurationMs: number;
  callDurationMs: number;
}

export interface RecordsClientOptions {
  /** Base URL of records-api or of the gateway before it. */
  url: URL;
  /** Scope to take a token for. */
  scope: string;
  tokens: TokenSource;
  /** How long one call may take, in milliseconds. */
  timeoutMs: number;
  /** PEM certificates to trust on top of the system's. */
  ca?: string | undefined;
}

/** Fetches the records, with a token of its own. */
export type FetchRecords = (context: RequestContext) => Promise<RecordsCall>;

/**
 * A client of records-api. Its calls take a token first, so that without one nothing is sent, and reject with:
 * - what the token source rejects with when there is no token (503),
 * - a 502 when records-api refuses the token, fails or cannot be reached,
 * - a 503 with its `Retry-After` when records-api says that it is unavailable,
 * - a 504 when it takes too long.
 */
export const createRecordsClient = (options: RecordsClientOptions): FetchRecords => {
  const http = got.extend({
    timeout: { request: options.timeoutMs },
    retry: { limit: 0 },
    throwHttpErrors: false,
    // A redirect would carry the token to wherever it points.
    followRedirect: false,
    https: options.ca ? { certificateAuthority: [...getCACertificates('default'), options.ca] } : {},
    headers: { accept: 'application/json', 'user-agent': 'caller-api' },
  });
  const url = new URL('api/records', options.url.href.replace(/\/?$/, '/'));

  return async (context) => {
    const headers = propagationHeaders(context);
    const token = await options.tokens.getToken({ scope: options.scope, headers });
    const startMs = performance.now();
    const response = await http(url, {
      headers: { ...headers, authorization: `Bearer ${token.accessToken}` },
    }).catch((error: unknown) => {
      throw unreachable(error);
    });
    return {
      records: readRecords(response),
      tokenFromCache: token.fromCache,
      tokenDurationMs: token.durationMs,
      callDurationMs: performance.now() - startMs,
    };
  };
};

const unreachable = (error: unknown): unknown => {
  if (error instanceof TimeoutError) {
    return new ProblemError('records-api took too long.', {
      status: 504,
      code: 'downstream_timeout',
      cause: error,
    });
  }
  if (!(error instanceof RequestError)) return error;
  return new ProblemError('records-api could not be reached.', {
    status: 502,
    code: 'downstream_unreachable',
    cause: error,
  });
};

const readRecords = (response: Response<string>): Records => {
  const body = parseJson(response.body);
  if (response.statusCode !== 200) throw refused(response, body);
  const records = recordsSchema.safeParse(body);
  if (records.success) return records.data;
  throw new ProblemError('records-api gave an answer that is not a list of records.', {
    status: 502,
    code: 'downstream_invalid',
    cause: records.error,
  });
};

const problemSchema = z.object({ code: z.string().optional(), requestId: z.string().optional() }).catch({});

const refused = (response: Response<string>, body: unknown): ProblemError => {
  const status = response.statusCode;
  const { code, requestId } = problemSchema.parse(body);
  const downstream = { service: 'records-api', status, code, requestId };
  const retryAfter = response.headers['retry-after'];
  const options = { members: { downstream }, logFields: { downstream } };
  if (status === 503 || status === 429) {
    return new ProblemError('records-api is not available now.', {
      ...options,
      status: 503,
      code: 'downstream_unavailable',
      headers: { 'Retry-After': retryAfter ?? '5' },
    });
  }
  const refusal = status === 401 || status === 403;
  return new ProblemError(refusal ? 'records-api refused this application.' : 'records-api failed.', {
    ...options,
    status: 502,
    code: refusal ? 'downstream_refused' : 'downstream_failed',
  });
};

const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
};
