import { request as requestHttp, type IncomingMessage } from 'node:http';
import { Agent, request as requestHttps } from 'node:https';
import { getCACertificates } from 'node:tls';

export interface FetchJsonOptions {
  /** For the whole exchange, in milliseconds. */
  timeoutMs: number;
  maxBytes: number;
  /** PEM certificates to trust on top of those that Node trusts. */
  extraCa?: readonly string[] | undefined;
}

/** Gets a JSON document over HTTP or HTTPS. */
export type FetchJson = (url: string) => Promise<unknown>;

const readJson = async (response: IncomingMessage, maxBytes: number): Promise<unknown> => {
  if (response.statusCode !== 200) throw new Error(`it answered ${response.statusCode}`);
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > maxBytes) throw new Error(`it answered more than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch {
    // Without the cause: it would quote the answer.
    throw new Error('it answered no JSON');
  }
};

/** A redirect is an answer like any other than 200: an error. */
export const createFetchJson = (options: FetchJsonOptions): FetchJson => {
  let agent: Agent | undefined;
  // Reading the system's certificates takes milliseconds: not before the first use.
  const httpsAgent = (): Agent =>
    (agent ??= new Agent({ ca: [...getCACertificates('default'), ...(options.extraCa ?? [])] }));

  return async function fetchJson(url) {
    const signal = AbortSignal.timeout(options.timeoutMs);
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const settings = { signal, headers: { accept: 'application/json' } };
      const outgoing =
        new URL(url).protocol === 'https:'
          ? requestHttps(url, { ...settings, agent: httpsAgent() })
          : requestHttp(url, { ...settings, agent: false });
      outgoing.once('response', resolve).once('error', reject).end();
    });
    try {
      return await readJson(response, options.maxBytes);
    } finally {
      response.destroy();
    }
  };
};
