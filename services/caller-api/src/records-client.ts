import { createHash } from 'node:crypto';
import { ProblemError, propagationHeaders, type RequestContext } from '@countersign/service-kit';
import {
  DownstreamError,
  type DownstreamApi,
  type DownstreamRequest,
  type DownstreamResponse,
  type TokenSource,
} from '@countersign/shared-auth';
import { z } from 'zod';
import { toOwnAnswer } from './failures.ts';
import type { Journey } from './journey.ts';

const recordSchema = z.object({
  id: z.number(),
  name: z.string(),
  description: z.string(),
  date: z.string(),
});

/** A record as records-api gives it. */
export type RecordEntry = z.output<typeof recordSchema>;

export interface RecordsPage {
  records: readonly RecordEntry[];
  /** Leads to the next page; undefined on the last. */
  nextCursor: string | undefined;
}

/** A record and its version. */
export interface VersionedRecord {
  record: RecordEntry;
  etag: string;
}

export interface CreatedRecord extends VersionedRecord {
  /** Whether an earlier call under the same key made it. */
  isReplay: boolean;
}

/** On whose behalf a call is made: its id and trace go along, and what it took is noted. */
export interface CallContext {
  requestContext: RequestContext;
  journey: Journey;
  /** Who calls this service, where that is known. */
  applicationId?: string | undefined;
}

/**
 * records-api, with a token of this application for every call.
 *
 * Each method rejects with what this service answers then: a {@link ProblemError}, also when the answer is not what
 * records-api promises (502), or an IdentityUnavailableError. What is sent is for records-api to check.
 */
export interface RecordsClient {
  /** @param query as records-api takes it: `limit`, `cursor`, `name`, `from`, `to` */
  list(context: CallContext, query: Readonly<Record<string, string>>): Promise<RecordsPage>;
  get(context: CallContext, id: string): Promise<VersionedRecord>;
  /** @param idempotencyKey makes one record of a call that is sent twice */
  create(context: CallContext, fields: unknown, idempotencyKey: string | undefined): Promise<CreatedRecord>;
  /** @param etag of the version that is replaced */
  replace(
    context: CallContext,
    id: string,
    fields: unknown,
    etag: string | undefined,
  ): Promise<VersionedRecord>;
}

export const createRecordsClient = (
  recordsApi: DownstreamApi,
  tokens: TokenSource,
  scope: string,
): RecordsClient => {
  /** The token that the call will find at hand. Taken here so that the journey tells it from the call. */
  const takeToken = async (journey: Journey, headers: Record<string, string>): Promise<void> => {
    const atMs = journey.elapsedMs();
    try {
      journey.noteToken(atMs, await tokens.getToken({ scope, headers }));
    } catch (error) {
      journey.noteToken(atMs, undefined);
      throw toOwnAnswer(error);
    }
  };

  const call = async (
    { requestContext, journey }: CallContext,
    request: DownstreamRequest,
  ): Promise<DownstreamResponse> => {
    const headers = { ...request.headers, ...propagationHeaders(requestContext) };
    await takeToken(journey, headers);
    const { method = 'GET' } = request;
    const atMs = journey.elapsedMs();
    try {
      const response = await recordsApi.request({ ...request, headers });
      const { status, attempts } = response;
      journey.note('call', atMs, `${method} ${status}${attempts > 1 ? `, attempt ${attempts}` : ''}`);
      return response;
    } catch (error) {
      journey.note('call', atMs, `${method} ${outcomeOf(error)}`);
      throw toOwnAnswer(error);
    }
  };

  return {
    async list(context, query) {
      const response = await call(context, { path: 'api/records', query });
      return { records: parse(z.array(recordSchema), response), nextCursor: nextCursor(response) };
    },
    async get(context, id) {
      return toVersioned(await call(context, { path: pathOf(id) }));
    },
    async create(context, fields, idempotencyKey) {
      const headers: Record<string, string> =
        idempotencyKey === undefined ? {} : { 'idempotency-key': keyOf(context, idempotencyKey) };
      const response = await call(context, { method: 'POST', path: 'api/records', headers, json: fields });
      const isReplay = response.headers['idempotency-replayed'] === 'true';
      return { ...toVersioned(response), isReplay };
    },
    async replace(context, id, fields, etag) {
      const headers = etag === undefined ? {} : { 'if-match': etag };
      return toVersioned(await call(context, { method: 'PUT', path: pathOf(id), headers, json: fields }));
    },
  };
};

const toVersioned = (response: DownstreamResponse): VersionedRecord => {
  const { etag } = response.headers;
  const record = parse(recordSchema, response);
  if (typeof etag !== 'string') throw unexpected('without an ETag');
  return { record, etag };
};

/** To records-api all calls come from one application: keys of different callers must not meet there. */
const keyOf = ({ applicationId }: CallContext, key: string): string =>
  applicationId === undefined
    ? key
    : createHash('sha256').update(`${applicationId}\n${key}`).digest('base64url');

const pathOf = (id: string): string => `api/records/${encodeURIComponent(id)}`;

const outcomeOf = (error: unknown): string => {
  if (!(error instanceof DownstreamError)) return 'failed';
  return error.downstream.status === undefined
    ? error.code.replace('downstream_', '')
    : String(error.downstream.status);
};

const unexpected = (what: string, cause?: unknown): ProblemError =>
  new ProblemError(`records-api gave an answer ${what}.`, { status: 502, code: 'downstream_invalid', cause });

const parse = <Schema extends z.ZodType>(schema: Schema, response: DownstreamResponse): z.output<Schema> => {
  const result = schema.safeParse(jsonOf(response));
  if (!result.success) throw unexpected('that is not what was asked for', result.error);
  return result.data;
};

const jsonOf = (response: DownstreamResponse): unknown => {
  try {
    return response.json();
  } catch (error) {
    throw unexpected('that is no JSON', error);
  }
};

const nextCursor = ({ headers }: DownstreamResponse): string | undefined => {
  const target = /<([^>]*)>\s*;\s*rel="?next"?/.exec(String(headers['link'] ?? ''))?.[1];
  if (target === undefined || !URL.canParse(target, 'http://records-api')) return undefined;
  return new URL(target, 'http://records-api').searchParams.get('cursor') ?? undefined;
};
