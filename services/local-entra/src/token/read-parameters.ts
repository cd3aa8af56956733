import type { Middleware } from 'koa';
import { readBody } from '../read-body.ts';
import { StsError } from '../sts-errors/sts-error.ts';
import type { TokenState } from './token-state.ts';

/** Ample for a client assertion with its certificate chain. */
const maxBodyBytes = 64 * 1024;

const decode = (text: string): string => {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    return text;
  }
};

/** `Authorization: Basic`, both parts form-encoded first (RFC 6749 §2.3.1). */
const readBasic = (header: string): [string, string] | undefined => {
  const [, encoded] = /^basic +([\w+/-]+={0,2})$/i.exec(header) ?? [];
  if (encoded === undefined) return undefined;
  const text = Buffer.from(encoded, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  return colon < 0 ? undefined : [decode(text.slice(0, colon)), decode(text.slice(colon + 1))];
};

/**
 * Reads the form (RFC 6749 §4.4.2). Empty parameters count as missing (§3.2); repeated ones are refused. Client id and
 * secret may come by HTTP Basic instead.
 */
export const readParameters: Middleware<TokenState> = async function readParameters(ctx, next) {
  const parameters = new Map<string, string>();
  const text = await readBody(ctx.req, maxBodyBytes);
  const fields = ctx.is('application/x-www-form-urlencoded') ? new URLSearchParams(text) : [];
  for (const [name, value] of fields) {
    if (parameters.has(name)) throw new StsError('duplicateParameter', { parameter: name });
    if (value !== '') parameters.set(name, value);
  }
  const basic = readBasic(ctx.get('Authorization'));
  if (basic && !parameters.has('client_secret') && !parameters.has('client_assertion')) {
    const [clientId, secret] = basic;
    if (!parameters.has('client_id')) parameters.set('client_id', clientId);
    // Another client's name in the body than in the header: its secret cannot match.
    if (parameters.get('client_id') === clientId && secret !== '') parameters.set('client_secret', secret);
  }
  ctx.state.parameters = parameters;
  await next();
};
