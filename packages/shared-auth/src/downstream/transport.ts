import { validateHeaderName, validateHeaderValue } from 'node:http';
import got, { RequestError, TimeoutError, type Response } from 'got';
import { createHttpsAgent } from '../https-agent.ts';
import { parseBaseUrl, resolveBelow } from './base-address.ts';
import { DownstreamError } from './downstream-error.ts';
import type { DownstreamRequest } from './downstream-api.ts';
import { assertNoReservedHeader } from './reserved-headers.ts';

export interface TransportOptions {
  /** How errors call the API. */
  name: string;
  baseUrl: URL | string;
  allowPlainHttp: boolean;
  /** PEM certificates to trust in addition to those that Node trusts by default. */
  ca: string | undefined;
  /** Bound on one exchange, in milliseconds. */
  timeoutMs: number;
  /** Bound on an answer, in bytes. */
  maxBodyBytes: number;
}

export type HttpResponse = Response<string>;

/** A request that can be sent: whatever is wrong with it has been found. */
export interface PreparedRequest {
  readonly method: NonNullable<DownstreamRequest['method']>;
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | undefined;
  readonly signal: AbortSignal | undefined;
}

/** One exchange with the API, whatever its status. */
export interface Transport {
  /** @throws TypeError for a request that cannot be sent */
  prepare(request: DownstreamRequest): PreparedRequest;
  /** @throws {@link DownstreamError} without a whole answer; the reason of the request's signal when it was given up */
  send(request: PreparedRequest, accessToken: string): Promise<HttpResponse>;
  close(): void;
}

/** JSON.stringify gives no text for a function, and throws for a BigInt or a circle. */
const toBody = (json: unknown): string => {
  const body = JSON.stringify(json) as string | undefined;
  if (body === undefined) throw new TypeError('json cannot be written as JSON');
  return body;
};

/** Without got's error, on whose request the token hangs. */
const toDownstreamError = (error: unknown, name: string): unknown => {
  if (!(error instanceof RequestError)) return error;
  const kind = error instanceof TimeoutError ? 'downstream_timeout' : 'downstream_unreachable';
  const logFields = { reason: error.message, 'error.code': error.code };
  return new DownstreamError(kind, { service: name }, { logFields });
};

export const createTransport = ({
  name,
  baseUrl,
  allowPlainHttp,
  ca,
  timeoutMs,
  maxBodyBytes,
}: TransportOptions): Transport => {
  const base = parseBaseUrl(baseUrl, allowPlainHttp);
  const agent = createHttpsAgent(ca);
  const http = got.extend({
    agent: { https: agent },
    timeout: { request: timeoutMs },
    retry: { limit: 0 },
    throwHttpErrors: false,
    // A redirect would carry the token to wherever it points.
    followRedirect: false,
  });

  return {
    prepare({ method = 'GET', headers = {}, json, signal, ...address }) {
      assertNoReservedHeader(headers);
      for (const [key, value] of Object.entries(headers)) {
        validateHeaderName(key);
        validateHeaderValue(key, value);
      }
      if (json !== undefined && (method === 'GET' || method === 'HEAD')) {
        throw new TypeError(`${method} has no body`);
      }
      return {
        method,
        url: resolveBelow(base, address),
        headers: {
          accept: 'application/json',
          ...headers,
          ...(json !== undefined && { 'content-type': 'application/json' }),
        },
        body: json === undefined ? undefined : toBody(json),
        signal,
      };
    },
    async send({ method, url, headers, body, signal }, accessToken) {
      signal?.throwIfAborted();
      const tooLarge = new AbortController();
      try {
        return await http(url, {
          method,
          headers: { ...headers, authorization: `Bearer ${accessToken}` },
          ...(body !== undefined && { body }),
          signal: signal ? AbortSignal.any([signal, tooLarge.signal]) : tooLarge.signal,
        }).on('downloadProgress', ({ transferred }) => {
          if (transferred > maxBodyBytes) tooLarge.abort();
        });
      } catch (error) {
        signal?.throwIfAborted();
        if (!tooLarge.signal.aborted) throw toDownstreamError(error, name);
        const logFields = { reason: `the answer is larger than ${maxBodyBytes} bytes` };
        throw new DownstreamError('downstream_failed', { service: name }, { logFields });
      }
    },
    close() {
      agent.destroy();
    },
  };
};
