import type { Middleware } from 'koa';
import type { ServiceState } from '@countersign/service-kit';
import type { Clock } from '../clock.ts';
import type { Directory } from '../directory/directory.ts';
import { withoutSecrets } from '../without-secrets.ts';
import { explain } from './explain.ts';

/** One request in the log. Holds no secret, token or assertion. */
export interface LoggedRequest {
  /** ISO 8601, by Entra's own clock. */
  time: string;
  requestId: string;
  method: string;
  path: string;
  status: number;
  tenantId?: string;
  /** The caller, by name where it is known, else by the client id that it gave. */
  client?: string;
  /** The API that it asked for. */
  resource?: string;
  roles?: readonly string[];
  /** AADSTS number or Graph's error code. */
  error?: string;
  /** Key in the table of errors. */
  reason?: string;
  /** What happened and why, for a person. */
  explanation?: string;
}

/** The last requests, newest first. */
export interface RequestLog {
  list(): readonly LoggedRequest[];
  /** Those that were refused, or got a token without roles. */
  refusals(): readonly LoggedRequest[];
  record: Middleware<ServiceState>;
}

const text = (value: unknown): string | undefined =>
  typeof value === 'string' ? withoutSecrets(value) : undefined;

const maxPathLength = 200;

/** @param capacity how many requests are kept. */
export const createRequestLog = (
  { directory, clock }: { directory: Directory; clock: Clock },
  capacity = 200,
): RequestLog => {
  const requests: LoggedRequest[] = [];

  const nameOf = (tenantId: string | undefined, appId: string | undefined): string | undefined =>
    tenantId !== undefined && appId !== undefined
      ? (directory.servicePrincipalByAppId(tenantId, appId)?.displayName ?? appId)
      : appId;

  const entryOf = (fields: Readonly<Record<string, unknown>>): Partial<LoggedRequest> => {
    const tenantId = text(fields['tid']);
    const client = nameOf(tenantId, text(fields['azp']));
    const resource = nameOf(tenantId, text(fields['resource']));
    const roles = Array.isArray(fields['roles']) ? fields['roles'].map(String) : undefined;
    const reason = text(fields['reason']);
    const error =
      fields['aadsts'] === undefined ? text(fields['error.type']) : `AADSTS${Number(fields['aadsts'])}`;
    const explanation = explain({ client, resource, roles, reason, detail: text(fields['detail']) });
    return {
      ...(tenantId !== undefined && { tenantId }),
      ...(client !== undefined && { client }),
      ...(resource !== undefined && { resource }),
      ...(roles !== undefined && { roles }),
      ...(error !== undefined && { error }),
      ...(reason !== undefined && { reason }),
      ...(explanation !== undefined && { explanation }),
    };
  };

  return {
    list: () => requests.toReversed(),
    refusals: () => requests.filter(({ status, roles }) => status >= 400 || roles?.length === 0).toReversed(),
    record: function record(ctx, next) {
      const time = new Date(clock()).toISOString();
      ctx.res.once('close', () => {
        if (requests.length >= capacity) requests.shift();
        requests.push({
          time,
          requestId: ctx.state.requestContext.requestId,
          method: ctx.method,
          path: withoutSecrets(ctx.path).slice(0, maxPathLength),
          status: ctx.res.statusCode,
          ...entryOf(ctx.state.logFields),
        });
      });
      return next();
    },
  };
};
