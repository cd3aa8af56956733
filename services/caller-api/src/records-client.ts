import { ProblemError, propagationHeaders, type RequestContext } from '@countersign/service-kit';
import type { DownstreamApi } from '@countersign/shared-auth';
import { z } from 'zod';

const recordsSchema = z.array(
  z.object({ id: z.number(), name: z.string(), description: z.string(), date: z.string() }),
);

/** Records as records-api gives them. */
export type Records = z.output<typeof recordsSchema>;

/** The records, and what the call for them took: for the log, and for whoever looks at the page. */
export interface RecordsCall {
  records: Records;
  /** Whether the token came from the cache; otherwise from Entra. */
  tokenFromCache: boolean;
  tokenDurationMs: number;
  callDurationMs: number;
  attempts: number;
}

/** Fetches the records, with a token of this application. */
export type FetchRecords = (context: RequestContext) => Promise<RecordsCall>;

/**
 * A client of records-api.
 *
 * The returned function rejects as the {@link DownstreamApi} does, and with a {@link ProblemError} 502 when the answer is
 * no list of records.
 */
export const createRecordsClient =
  (recordsApi: DownstreamApi): FetchRecords =>
  async (context) => {
    const startMs = performance.now();
    const response = await recordsApi.request({
      path: 'api/records',
      headers: { accept: 'application/json', ...propagationHeaders(context) },
    });
    const records = recordsSchema.safeParse(response.json());
    if (!records.success) {
      throw new ProblemError('records-api gave an answer that is not a list of records.', {
        status: 502,
        code: 'downstream_invalid',
        cause: records.error,
      });
    }
    const { fromCache, durationMs } = response.token;
    return {
      records: records.data,
      tokenFromCache: fromCache,
      tokenDurationMs: durationMs,
      callDurationMs: performance.now() - startMs - durationMs,
      attempts: response.attempts,
    };
  };
