import { randomUUID } from 'node:crypto';
import type { Middleware } from 'koa';
import type { ServiceState } from '@countersign/service-kit';
import type { EntraContext } from '../entra-context.ts';
import { parseJson } from '../parse-json.ts';
import { readBody } from '../read-body.ts';
import { badRequest, GraphError } from './graph-error.ts';
import { graphOperations } from './graph-operations.ts';
import { parseGraphPath } from './graph-path.ts';
import { normaliseQuery } from './query-options.ts';
import { verifyGraphToken } from './verify-graph-token.ts';

const prefix = '/v1.0/';
const maxBodyBytes = 1024 * 1024;

const byPattern = new Map(
  Object.entries(graphOperations).map(([name, operation]) => {
    const [method = '', path = ''] = name.split(' ');
    return [`${method} ${path.toLowerCase()}`, { name, operation }];
  }),
);

const readJson = (text: string): unknown => {
  if (text === '') return undefined;
  try {
    return parseJson(text);
  } catch {
    throw badRequest(
      'Unable to read JSON request payload. Please ensure Content-Type header is set and payload is of valid JSON format.',
    );
  }
};

const unsupported = (method: string, path: string): GraphError =>
  new GraphError(
    501,
    'NotImplemented',
    `local-entra does not support ${method} ${path.slice(0, 200)}. Supported under ${prefix}: ${Object.keys(graphOperations).join(', ')}.`,
  );

/** The subset of Microsoft Graph v1.0 that provisioning needs, on the same directory as the token endpoint. */
export const graph = (entra: EntraContext): Middleware<ServiceState>[] => [
  renderGraphErrors(entra),
  async function graph(ctx) {
    const { tenant, caller, permissions } = verifyGraphToken(entra, ctx.get('Authorization'));
    Object.assign(ctx.state.logFields, { azp: caller.appId, tid: tenant.id });
    const path = ctx.path.startsWith(prefix) ? parseGraphPath(ctx.path.slice(prefix.length)) : undefined;
    const found = path && byPattern.get(`${ctx.method} ${path.pattern}`);
    if (!path || !found) throw unsupported(ctx.method, ctx.path);
    ctx.state.logFields['http.route'] = `${prefix}${found.name.split(' ')[1]}`;
    const answer = found.operation(entra, {
      tenant,
      caller,
      permissions,
      keys: path.keys,
      query: normaliseQuery(ctx.query),
      body: readJson(await readBody(ctx.req, maxBodyBytes)),
      createIfMissing: /(^|,)\s*create-if-missing\s*(,|$)/i.test(ctx.get('Prefer')),
      url: `${entra.origin()}${ctx.path}`,
      contextUrl: `${entra.origin()}/v1.0/$metadata`,
    });
    // Answered only when it is kept.
    if (ctx.method !== 'GET') await save(entra, ctx.state.logFields);
    ctx.status = answer.status;
    ctx.body = answer.body;
  },
];

const save = async (entra: EntraContext, logFields: Record<string, unknown>): Promise<void> => {
  try {
    await entra.saveDirectory();
  } catch (error) {
    logFields['cause'] = String(error);
    throw new GraphError(503, 'ServiceUnavailable', 'The change could not be kept, and was undone.');
  }
};

/** Renders refusals as Graph does, with the headers that each of its answers has. */
export const renderGraphErrors = (entra: Pick<EntraContext, 'clock' | 'origin'>): Middleware<ServiceState> =>
  async function renderGraphErrors(ctx, next) {
    const requestId = randomUUID();
    const clientRequestId = ctx.get('client-request-id') || requestId;
    ctx.set('request-id', requestId);
    ctx.set('client-request-id', clientRequestId);
    ctx.set('Cache-Control', 'no-store, no-cache');
    try {
      await next();
    } catch (error) {
      if (!(error instanceof GraphError)) throw error;
      const { status, code, message, details } = error;
      Object.assign(ctx.state.logFields, { 'error.type': code, detail: message });
      ctx.status = status;
      if (status === 401) {
        const challenge = `Bearer realm="", authorization_uri="${entra.origin()}/common/oauth2/authorize"`;
        ctx.set('WWW-Authenticate', challenge);
      }
      const date = new Date(entra.clock()).toISOString().slice(0, 19);
      ctx.body = {
        error: {
          code,
          message,
          ...(details && { details }),
          innerError: { date, 'request-id': requestId, 'client-request-id': clientRequestId },
        },
      };
    }
  };
