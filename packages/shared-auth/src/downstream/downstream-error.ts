import { AuthError } from '../errors.ts';

export type DownstreamFailure =
  /** No connection, or one that broke. */
  | 'downstream_unreachable'
  | 'downstream_timeout'
  /** It says so (503, 429), or it failed so often that it is left alone, or too many calls wait for it. */
  | 'downstream_unavailable'
  /** 401 or 403. */
  | 'downstream_refused'
  /** Any other answer that is not a success. */
  | 'downstream_failed';

/** The part of the other side's problem document (RFC 9457) that is worth passing on. */
export interface DownstreamProblem {
  readonly service: string;
  readonly status?: number;
  readonly code?: string;
  readonly title?: string;
  readonly requestId?: string;
}

const answers: Readonly<Record<DownstreamFailure, { status: number; sentence: string }>> = {
  downstream_unreachable: { status: 502, sentence: 'could not be reached' },
  downstream_timeout: { status: 504, sentence: 'took too long' },
  downstream_unavailable: { status: 503, sentence: 'is not available now' },
  downstream_refused: { status: 502, sentence: 'refused this application' },
  downstream_failed: { status: 502, sentence: 'failed' },
};

export interface DownstreamErrorOptions extends ErrorOptions {
  retryAfterSeconds?: number | undefined;
  /** Of the answer. */
  body?: string;
  answerHeaders?: Readonly<Record<string, string | string[] | undefined>>;
  logFields?: Readonly<Record<string, unknown>>;
}

const maxKeptBody = 16_384;

/** A call to a downstream API that brought no success: 502, 503 or 504 for one's own caller. */
export class DownstreamError extends AuthError {
  override readonly name = 'DownstreamError';
  readonly status: number;
  readonly code: DownstreamFailure;
  readonly downstream: DownstreamProblem;
  /** Private, so that no logger writes it by accident. */
  readonly #body: string | undefined;
  readonly #answerHeaders: Readonly<Record<string, string | string[] | undefined>>;

  constructor(
    code: DownstreamFailure,
    downstream: DownstreamProblem,
    { retryAfterSeconds, body, answerHeaders = {}, logFields, ...options }: DownstreamErrorOptions = {},
  ) {
    const { status, sentence } = answers[code];
    super(`${downstream.service} ${sentence}.`, {
      ...options,
      ...(retryAfterSeconds !== undefined && { headers: { 'Retry-After': String(retryAfterSeconds) } }),
      members: { downstream },
      logFields: { downstream, ...logFields },
    });
    this.status = status;
    this.code = code;
    this.downstream = downstream;
    this.#body = body?.slice(0, maxKeptBody);
    this.#answerHeaders = answerHeaders;
  }

  /** What the other side answered, up to its first 16,384 characters; undefined without an answer. */
  get body(): string | undefined {
    return this.#body;
  }

  /** Headers of the other side's answer, their names in lower case; none without an answer. */
  get answerHeaders(): Readonly<Record<string, string | string[] | undefined>> {
    return this.#answerHeaders;
  }
}

const text = (value: unknown): string | undefined =>
  typeof value === 'string' && value !== '' ? value.slice(0, 200) : undefined;

/** Reads a problem document, as far as it is one. */
export const parseProblem = (service: string, status: number, body: string): DownstreamProblem => {
  let document: Record<string, unknown> = {};
  try {
    const value: unknown = JSON.parse(body);
    if (typeof value === 'object' && value !== null) document = value as Record<string, unknown>;
  } catch {
    // An error page of a proxy: its status has to do.
  }
  const code = text(document['code']);
  const title = text(document['title']);
  const requestId = text(document['requestId']);
  return {
    service,
    status,
    ...(code !== undefined && { code }),
    ...(title !== undefined && { title }),
    ...(requestId !== undefined && { requestId }),
  };
};
