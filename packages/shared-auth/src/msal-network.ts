import type { INetworkModule, NetworkRequestOptions, NetworkResponse } from '@azure/msal-node';
import { contextHeadersOf } from './context-headers.ts';
import { IdentityUnavailableError } from './errors.ts';
import type { EntraNetwork, EntraResponse } from './network.ts';
import { parseRetryAfter, spreadRetryAfter } from './retry-after.ts';

/** One acquisition, as its requests see it. */
export interface AcquisitionCall {
  /** Sent with each request of the call. */
  readonly headers: Readonly<Record<string, string>>;
  /** Set when a request got no usable answer. MSAL would replace it by an error that has lost the cause. */
  unavailable?: IdentityUnavailableError;
}

export interface MsalNetworkOptions {
  network: EntraNetwork;
  /** Milliseconds since 1970. */
  clock: () => number;
  /** The acquisition that is asking. */
  currentCall: () => AcquisitionCall | undefined;
  /** Whether an answer is one of the protocol. Default any: what the platforms answer differs. */
  isAnswer?: (status: number, body: unknown) => boolean;
}

/** 429, 5xx and answers that are not of the protocol. A refusal (400, 401 with an OAuth error) is an answer. */
const isUnusable = ({ status }: EntraResponse): boolean =>
  status === 429 || status >= 500 || (status >= 300 && status < 400);

/**
 * The network in MSAL's terms. Outages end here, as errors: shown to MSAL, a 429 or 5xx would make it refuse the same
 * request for a minute on its own, also when the other side is long back.
 */
export const createMsalNetwork = ({
  network,
  clock,
  currentCall,
  isAnswer = () => true,
}: MsalNetworkOptions): INetworkModule => {
  const send = async <T>(
    method: 'GET' | 'POST',
    url: string,
    { headers, body }: NetworkRequestOptions = {},
  ): Promise<NetworkResponse<T>> => {
    const call = currentCall();
    const unavailable = (
      cause: unknown,
      logFields: Record<string, unknown>,
      retryAfter?: string,
    ): IdentityUnavailableError => {
      const error = new IdentityUnavailableError({
        retryAfterSeconds: parseRetryAfter(retryAfter, clock()) ?? spreadRetryAfter(),
        cause,
        logFields,
      });
      if (call) call.unavailable = error;
      return error;
    };
    const endpoint = url.split('?')[0];
    let response: EntraResponse;
    try {
      response = await network.request(url, {
        method,
        headers: { ...contextHeadersOf(call?.headers), ...headers },
        ...(body !== undefined && { body }),
      });
    } catch (error) {
      throw unavailable(error, { endpoint });
    }
    if (isUnusable(response)) {
      const { status } = response;
      const throttled = status === 429 || response.headers['retry-after'] !== undefined;
      throw unavailable(undefined, { endpoint, status, throttled }, response.headers['retry-after']);
    }
    const { status, headers: received } = response;
    let answer: unknown;
    try {
      answer = JSON.parse(response.body);
    } catch {
      throw unavailable(new Error('the answer is not JSON'), { endpoint, status });
    }
    if (!isAnswer(status, answer)) {
      throw unavailable(new Error('the answer is not one of a token endpoint'), { endpoint, status });
    }
    return { status, headers: received, body: answer as T };
  };

  return {
    sendGetRequestAsync: (url, options) => send('GET', url, options),
    sendPostRequestAsync: (url, options) => send('POST', url, options),
  };
};
