import { STATUS_CODES } from 'node:http';
import type { Middleware, ParameterizedContext } from 'koa';
import { withoutTokens } from './logger.ts';
import type { ServiceState } from './request-context.ts';

/** One wrong place in a request: where, as a JSON pointer (RFC 6901) or parameter name, and what is wrong. */
export interface InvalidPart {
  pointer: string;
  detail: string;
}

/** A problem document (RFC 9457) as the services write it. `type` is `about:blank`, and so left out. */
export interface ProblemDocument {
  title: string;
  status: number;
  /** Stable and meant for programs: `missing_token`, `insufficient_role` … */
  code: string;
  detail?: string;
  requestId: string;
  errors?: readonly InvalidPart[];
  [member: string]: unknown;
}

export interface ProblemErrorOptions extends ErrorOptions {
  /** HTTP status of the answer. */
  status: number;
  /** `code` of the problem document, in snake case. */
  code: string;
  /** Headers of the answer, such as `Retry-After`. */
  headers?: Readonly<Record<string, string>>;
  /** Further members of the problem document. */
  members?: Readonly<Record<string, unknown>>;
  /** What the log is told and the client is not. */
  logFields?: Readonly<Record<string, unknown>>;
}

/** An error that knows its answer. Its message becomes the document's `detail`. */
export class ProblemError extends Error {
  override readonly name = 'ProblemError';
  readonly expose = true;
  readonly status: number;
  readonly code: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly members: Readonly<Record<string, unknown>>;
  readonly logFields: Readonly<Record<string, unknown>>;

  constructor(detail: string, options: ProblemErrorOptions) {
    super(detail, { cause: options.cause });
    this.status = options.status;
    this.code = options.code;
    this.headers = options.headers ?? {};
    this.members = options.members ?? {};
    this.logFields = options.logFields ?? {};
  }
}

/**
 * The part of an error that a response may show: Koa's contract (`status`, `code`, `expose`, `headers`), which is
 * how errors of packages that do not know this one speak to it. `members` and `logFields` are read where present.
 */
interface HttpErrorLike {
  status?: unknown;
  code?: unknown;
  expose?: unknown;
  message?: unknown;
  headers?: unknown;
  members?: unknown;
  logFields?: unknown;
}

const codesByStatus: Readonly<Record<number, string>> = { 400: 'invalid_request', 422: 'invalid_request' };

/** `Not Found` → `not_found`: the code of a problem that has no better one. */
const codeOfStatus = (status: number): string =>
  codesByStatus[status] ??
  (STATUS_CODES[status] ?? 'error')
    .toLowerCase()
    .replaceAll(/[^a-z]+/g, '_')
    .replaceAll(/^_|_$/g, '');

const asRecord = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};

const isHttpErrorStatus = (status: unknown): status is number =>
  typeof status === 'number' && Number.isInteger(status) && status >= 400 && status <= 599;

/** What the client is told of an error. An error without an HTTP status of its own lends nothing to the answer. */
export const toProblem = (thrown: unknown, requestId: string): ProblemDocument => {
  const error = asRecord(thrown) as HttpErrorLike;
  if (!isHttpErrorStatus(error.status)) {
    return { title: 'Internal Server Error', status: 500, code: 'internal_server_error', requestId };
  }
  const ownCode =
    typeof error.code === 'string' && /^[a-z][a-z0-9_]*$/.test(error.code) ? error.code : undefined;
  const detail = error.expose === true && typeof error.message === 'string' ? error.message : undefined;
  return {
    title: STATUS_CODES[error.status] ?? 'Error',
    status: error.status,
    code: ownCode ?? codeOfStatus(error.status),
    ...(detail !== undefined && { detail }),
    requestId,
    ...asRecord(error.members),
  };
};

/** Writes a problem document as the body of the answer; status and headers are set already. */
export type ProblemRenderer = (ctx: ParameterizedContext<ServiceState>, problem: ProblemDocument) => void;

/** `application/problem+json` (RFC 9457 §3). */
export const renderProblemJson: ProblemRenderer = (ctx, problem) => {
  ctx.type = 'application/problem+json';
  ctx.body = JSON.stringify(problem);
};

const isUnanswered = (ctx: ParameterizedContext<ServiceState>): boolean =>
  ctx.respond !== false && ctx.status >= 400 && ctx.body == null;

/**
 * Renders whatever the rest of the stack throws, and refusals without a body (404, 405), as problem documents. The log
 * gets the cause: in the completion record, and an error of its own with the stack where it is the server's fault.
 *
 * @param render writes the document; a service with pages renders HTML where the client asks for it.
 */
export const problemDetails = (render: ProblemRenderer = renderProblemJson): Middleware<ServiceState> =>
  async function problemDetails(ctx, next) {
    const { requestId } = ctx.state.requestContext;
    const answer = (problem: ProblemDocument, headers: Record<string, unknown>): void => {
      ctx.status = problem.status;
      ctx.set('Cache-Control', 'no-store');
      for (const [name, value] of Object.entries(headers)) ctx.set(name, String(value));
      render(ctx, problem);
    };
    try {
      await next();
      if (isUnanswered(ctx)) {
        const { status } = ctx;
        const detail =
          status === 404
            ? `There is nothing at ${withoutTokens(ctx.path).slice(0, 200)}.`
            : `${ctx.method} is not possible here.`;
        answer(toProblem({ status, expose: true, message: detail }, requestId), {});
      }
    } catch (error) {
      const problem = toProblem(error, requestId);
      const { headers, logFields } = asRecord(error);
      Object.assign(ctx.state.logFields, { 'error.type': problem.code }, asRecord(logFields));
      if (problem.status >= 500)
        ctx.state.log.error({ err: error, ...asRecord(logFields) }, 'request failed');
      // Half an answer must not look whole: cut the connection.
      if (ctx.headerSent) ctx.res.destroy();
      else answer(problem, asRecord(headers));
    }
  };
