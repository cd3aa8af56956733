import { once } from 'node:events';
import { request, type RequestOptions } from 'node:https';
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { LocalEntra } from '@countersign/local-entra';

export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  body: Record<string, unknown>;
}

type Target = Pick<LocalEntra, 'origin' | 'ca'>;

/** One request over TLS that trusts local-entra's authority only. */
export const send = async (
  target: Target,
  path: string,
  options: RequestOptions = {},
  body?: string,
): Promise<Answer> => {
  const outgoing = request(`${target.origin}${path}`, { agent: false, ca: target.ca, ...options });
  outgoing.end(body);
  const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
  const text = Buffer.concat(await response.toArray()).toString('utf8');
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    body: text.startsWith('{') ? (JSON.parse(text) as Record<string, unknown>) : { text },
  };
};

export const getJson = (
  target: Target,
  path: string,
  headers: Record<string, string> = {},
): Promise<Answer> => send(target, path, { headers });

export const postForm = (
  target: Target,
  path: string,
  form: Record<string, string>,
  headers: Record<string, string> = {},
): Promise<Answer> =>
  send(
    target,
    path,
    { method: 'POST', headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers } },
    new URLSearchParams(form).toString(),
  );
