import got, { AbortError, RequestError, TimeoutError, type Response } from 'got';
import { createHttpsAgent } from '../https-agent.ts';
import { DownstreamError } from './downstream-error.ts';
import type { DownstreamRequest } from './downstream-api.ts';

export interface TransportOptions {
  /** How errors call the API. */
  name: string;
  baseUrl: URL | string;
  /** PEM certificates to trust in addition to those that Node trusts by default. */
  ca: string | undefined;
  /** Bound on one exchange, in milliseconds. */
  timeoutMs: number;
  /** Bound on an answer, in bytes. */
  maxBodyBytes: number;
}

export type HttpResponse = Response<string>;

/** One exchange with the API, whatever its status. */
export interface Transport {
  /** @throws TypeError for a path that leaves the base address */
  resolve(request: Pick<DownstreamRequest, 'path' | 'query'>): URL;
  /** @throws {@link DownstreamError} without a whole answer; AbortError of got when it was given up */
  send(request: DownstreamRequest, accessToken: string): Promise<HttpResponse>;
  close(): void;
}

export const isGivenUp = (error: unknown): boolean => error instanceof AbortError;

export const createTransport = ({
  name,
  baseUrl,
  ca,
  timeoutMs,
  maxBodyBytes,
}: TransportOptions): Transport => {
  const base = new URL(new URL(baseUrl).href.replace(/\/?$/, '/'));
  const agent = createHttpsAgent(ca);
  const http = got.extend({
    agent: { https: agent },
    timeout: { request: timeoutMs },
    retry: { limit: 0 },
    throwHttpErrors: false,
    // A redirect would carry the token to wherever it points.
    followRedirect: false,
  });

  const resolve = ({ path, query = {} }: Pick<DownstreamRequest, 'path' | 'query'>): URL => {
    const url = new URL(path.replace(/^\/+/, ''), base);
    if (url.origin !== base.origin || !url.pathname.startsWith(base.pathname)) {
      throw new TypeError(`the path ${path} leaves the base address`);
    }
    for (const [key, value] of Object.entries(query)) url.searchParams.append(key, value);
    return url;
  };

  /** Without got's error, on whose request the token hangs. */
  const toDownstreamError = (error: unknown): unknown => {
    if (!(error instanceof RequestError) || isGivenUp(error)) return error;
    const kind = error instanceof TimeoutError ? 'downstream_timeout' : 'downstream_unreachable';
    const logFields = { reason: error.message, 'error.code': error.code };
    return new DownstreamError(kind, { service: name }, { logFields });
  };

  return {
    resolve,
    async send(request, accessToken) {
      const { method = 'GET', headers, json, signal } = request;
      const tooLarge = new AbortController();
      try {
        return await http(resolve(request), {
          method,
          headers: {
            accept: 'application/json',
            ...headers,
            ...(json !== undefined && { 'content-type': 'application/json' }),
            authorization: `Bearer ${accessToken}`,
          },
          ...(json !== undefined && { body: JSON.stringify(json) }),
          signal: signal ? AbortSignal.any([signal, tooLarge.signal]) : tooLarge.signal,
        }).on('downloadProgress', ({ transferred }) => {
          if (transferred > maxBodyBytes) tooLarge.abort();
        });
      } catch (error) {
        if (!tooLarge.signal.aborted) throw toDownstreamError(error);
        const logFields = { reason: `the answer is larger than ${maxBodyBytes} bytes` };
        throw new DownstreamError('downstream_failed', { service: name }, { logFields });
      }
    },
    close() {
      agent.destroy();
    },
  };
};
