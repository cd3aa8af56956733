import type { Metrics } from './create-metrics.ts';

/**
 * What shared-auth counts and tells, as metrics. It is known here by its shape alone, so that every service gives the same
 * names to the same things.
 */
interface CountedVerifier {
  stats: () => { hits: number; misses: number; cachedTokens: number; keysAgeMs: number | undefined };
}

interface CountedTokens {
  stats: () => { hits: number; acquisitions: number; tokens: number };
}

/** The verified-token cache and the key store of each API's verifier. */
export const observeVerifiers = (metrics: Metrics, verifiers: ReadonlyMap<string, CountedVerifier>): void => {
  const stats = () => [...verifiers].map(([api, verifier]) => ({ api, ...verifier.stats() }));
  metrics.observe({
    name: 'auth_verifications_total',
    help: 'Tokens that were known (hit), and those that were verified anew or refused (miss).',
    type: 'counter',
    labelNames: ['api', 'outcome'],
    read: (say) => {
      for (const { api, hits, misses } of stats()) {
        say({ api, outcome: 'hit' }, hits);
        say({ api, outcome: 'miss' }, misses);
      }
    },
  });
  metrics.observe({
    name: 'auth_verified_tokens',
    help: 'Verified tokens that are remembered.',
    labelNames: ['api'],
    read: (say) => {
      for (const { api, cachedTokens } of stats()) say({ api }, cachedTokens);
    },
  });
  metrics.observe({
    name: 'auth_keys_age_seconds',
    help: 'Age of the oldest signing keys in use; nothing while there are none.',
    labelNames: ['api'],
    read: (say) => {
      for (const { api, keysAgeMs } of stats()) if (keysAgeMs !== undefined) say({ api }, keysAgeMs / 1_000);
    },
  });
};

/** The tokens that a service takes for itself. */
export const observeTokens = (metrics: Metrics, tokens: CountedTokens): void => {
  metrics.observe({
    name: 'auth_token_requests_total',
    help: 'Tokens that were at hand (hit), and those that MSAL was asked for (miss).',
    type: 'counter',
    labelNames: ['outcome'],
    read: (say) => {
      const { hits, acquisitions } = tokens.stats();
      say({ outcome: 'hit' }, hits);
      say({ outcome: 'miss' }, acquisitions);
    },
  });
  metrics.observe({
    name: 'auth_tokens',
    help: 'Tokens that are held.',
    read: (say) => say({}, tokens.stats().tokens),
  });
};

interface AuthEvents {
  keysFetched: (event: { outcome: string; durationMs: number }) => void;
  tokenAcquired: (event: { reason: string; outcome: string; durationMs: number }) => void;
  downstreamCalled: (event: {
    api: string;
    method: string;
    status: number | undefined;
    durationMs: number;
  }) => void;
  circuitChanged: (event: { api: string; isOpen: boolean }) => void;
}

/** Key fetches: for the observer of a verifier. */
export const keyEvents = (metrics: Metrics): Pick<AuthEvents, 'keysFetched'> => {
  const fetches = metrics.histogram('auth_key_fetch_duration_seconds', 'Fetching signing keys.');
  return {
    keysFetched: ({ outcome, durationMs }) => fetches.row({ outcome }).observe(durationMs / 1_000),
  };
};

/** Token requests and calls of these APIs: for the observer of a token source and a downstream client. */
export const callEvents = (
  metrics: Metrics,
  apis: readonly string[],
): Pick<AuthEvents, 'tokenAcquired' | 'downstreamCalled' | 'circuitChanged'> => {
  const acquisitions = metrics.histogram(
    'auth_token_acquisition_duration_seconds',
    'Asking MSAL for a token: from the shared cache, or from Entra.',
  );
  const calls = metrics.histogram(
    'http_client_request_duration_seconds',
    'Calls of APIs, with their retries.',
  );
  const circuits = new Map(apis.map((api) => [api, 0]));
  metrics.observe({
    name: 'http_client_circuit_open',
    help: '1 while calls of the API are refused without trying.',
    labelNames: ['api'],
    read: (say) => {
      for (const [api, open] of circuits) say({ api }, open);
    },
  });
  return {
    tokenAcquired: ({ reason, outcome, durationMs }) =>
      acquisitions.row({ reason, outcome }).observe(durationMs / 1_000),
    downstreamCalled: ({ api, method, status, durationMs }) =>
      calls
        .row({
          api,
          http_request_method: method,
          http_response_status_code: status === undefined ? 'none' : String(status),
        })
        .observe(durationMs / 1_000),
    circuitChanged: ({ api, isOpen }) => circuits.set(api, isOpen ? 1 : 0),
  };
};
