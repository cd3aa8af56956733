import got, { type Response } from 'got';
import { assertNumbers, type NumberBounds } from './assert-number.ts';
import { createHttpsAgent, type ProxyVariables } from './https-agent.ts';

export interface EntraNetworkOptions {
  /** PEM certificates to trust in addition to those that Node trusts by default (`NODE_EXTRA_CA_CERTS` included). */
  ca?: string;
  /** Variables that name a proxy (`HTTPS_PROXY`, `NO_PROXY`), such as `process.env`. Default: no proxy. */
  proxyEnv?: ProxyVariables;
  /** Bound on the whole exchange, in milliseconds. Default 10,000. */
  timeoutMs?: number;
  /** Bound on a decompressed answer, in bytes. Default 1 MiB. */
  maxBodyBytes?: number;
}

export interface EntraRequest {
  /** Default GET. */
  method?: 'GET' | 'POST';
  headers?: Readonly<Record<string, string>>;
  body?: string;
}

/** Any answer that arrived, whatever its status. */
export interface EntraResponse {
  status: number;
  /** Lower-case names. */
  headers: Readonly<Record<string, string>>;
  body: string;
}

/** The way to the identity provider. */
export interface EntraNetwork {
  /** @throws {@link EntraNetworkError} when no whole answer arrived in time. */
  request(url: string, request?: EntraRequest): Promise<EntraResponse>;
  /** Closes idle connections. */
  close(): void;
}

/** No answer: refused, reset, timed out, too large, or an address that is not https. */
export class EntraNetworkError extends Error {
  override readonly name = 'EntraNetworkError';
}

const flatHeaders = (headers: Response['headers']): Record<string, string> =>
  Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [
      name,
      Array.isArray(value) ? value.join(', ') : (value ?? ''),
    ]),
  );

/** Everything but the choice of addresses. */
const createNetwork = (
  { ca, proxyEnv, timeoutMs = 10_000, maxBodyBytes = 1024 * 1024 }: EntraNetworkOptions,
  isAllowed: (url: string) => boolean,
): EntraNetwork => {
  const bounds: NumberBounds = { timeoutMs: [1, 600_000], maxBodyBytes: [1, 2 ** 30] };
  assertNumbers({ timeoutMs, maxBodyBytes }, bounds);
  const agent = createHttpsAgent(ca, proxyEnv);
  const client = got.extend({
    agent: { https: agent },
    followRedirect: false,
    retry: { limit: 0 },
    throwHttpErrors: false,
    timeout: { request: timeoutMs },
  });

  const exchange = async (url: string, { method = 'GET', headers, body }: EntraRequest) => {
    const stream = client.stream(url, {
      method,
      ...(headers && { headers }),
      ...(body !== undefined && { body }),
    });
    let response: Response | undefined;
    stream.once('response', (received: Response) => {
      response = received;
    });
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      size += chunk.length;
      // Leaving the loop destroys the stream and its connection.
      if (size > maxBodyBytes) throw new EntraNetworkError(`the answer is larger than ${maxBodyBytes} bytes`);
      chunks.push(chunk);
    }
    if (response === undefined) throw new EntraNetworkError('no answer');
    return {
      status: response.statusCode,
      headers: flatHeaders(response.headers),
      body: Buffer.concat(chunks).toString('utf8'),
    };
  };

  return {
    async request(url, request = {}) {
      if (!isAllowed(url)) throw new EntraNetworkError('the address is not https');
      try {
        return await exchange(url, request);
      } catch (error) {
        if (error instanceof EntraNetworkError) throw error;
        const { message, code } = error as NodeJS.ErrnoException;
        // The cause is kept without got's request options: their headers and body hold credentials.
        throw new EntraNetworkError(code === undefined ? message : `${message} (${code})`);
      }
    },
    close() {
      agent.destroy();
    },
  };
};

/**
 * A network for tokens and keys: https only, no redirect (a redirected POST would carry the client secret along),
 * no retry (callers know better when), one timeout over everything, and answers of bounded size.
 */
export const createEntraNetwork = (options: EntraNetworkOptions = {}): EntraNetwork =>
  createNetwork(options, (url) => url.startsWith('https://'));

/** A network for the token endpoints that Azure puts on its machines, which are plain http. */
export const createPlatformNetwork = (options: EntraNetworkOptions = {}): EntraNetwork =>
  createNetwork(options, (url) => /^https?:\/\//.test(url));
