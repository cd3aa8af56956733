import { createStepRecorder, type ServiceState, type StepRecorder } from '@countersign/service-kit';
import { countRequests, keyEvents, type Metrics, observeVerifiers } from '@countersign/service-kit/metrics';
import type { AuthObserver, TokenVerifier } from '@countersign/shared-auth';
import type { Middleware } from 'koa';
import type { RecordStore } from './record-store.ts';
import type { RecordDatabase } from './store/record-database.ts';

/** What is seen of the service's work: its metrics, and the steps of each request. */
export interface Observation {
  /** Follow the access log. */
  middleware: readonly Middleware<ServiceState>[];
  /** For the verifier. */
  auth: AuthObserver;
  verifier: (verifier: TokenVerifier) => TokenVerifier;
  store: (store: RecordStore) => RecordStore;
}

export const createObservation = (metrics: Metrics, database: RecordDatabase): Observation => {
  const steps = createStepRecorder();
  const { keysFetched } = keyEvents(metrics);
  observePool(metrics, database);
  return {
    middleware: [countRequests(metrics), steps.middleware],
    auth: {
      keysFetched(event) {
        keysFetched(event);
        const outcome = event.outcome === 'ok' ? 'fetched' : event.outcome;
        steps.note('keys', performance.now() - event.durationMs, outcome);
      },
    },
    verifier(verifier) {
      observeVerifiers(metrics, new Map([['records-api', verifier]]));
      return observedVerifier(verifier, steps);
    },
    store: (store) => observedStore(store, metrics, steps),
  };
};

const observedVerifier = (verifier: TokenVerifier, { note }: StepRecorder): TokenVerifier => ({
  ...verifier,
  recall(token) {
    const startMs = performance.now();
    const principal = verifier.recall(token);
    if (principal) note('verify', startMs, 'hit');
    return principal;
  },
  async verify(token, options) {
    const startMs = performance.now();
    let outcome = 'failed';
    try {
      const principal = await verifier.verify(token, options);
      outcome = 'miss';
      return principal;
    } finally {
      note('verify', startMs, outcome);
    }
  },
});

/** An import is left out: it takes as long as its client. */
const operations = ['list', 'export', 'get', 'create', 'change', 'remove', 'history'] as const;

type Operations = Pick<RecordStore, (typeof operations)[number]>;

const observedStore = (store: RecordStore, metrics: Metrics, { note }: StepRecorder): RecordStore => {
  const durations = metrics.histogram(
    'db_client_operation_duration_seconds',
    'Reads and writes of records, with the wait for a connection.',
  );
  const observed = (operation: (typeof operations)[number]) => {
    const work = store[operation] as (...parameters: unknown[]) => Promise<unknown>;
    const row = durations.row({ db_operation_name: operation });
    return async (...parameters: unknown[]): Promise<unknown> => {
      const startMs = performance.now();
      try {
        return await work(...parameters);
      } finally {
        row.observe((performance.now() - startMs) / 1_000);
        note('sql', startMs);
      }
    };
  };
  const all = Object.fromEntries(operations.map((operation) => [operation, observed(operation)]));
  return { ...store, ...(all as unknown as Operations) };
};

const observePool = (metrics: Metrics, { connections }: RecordDatabase): void => {
  if (!connections) return;
  metrics.observe({
    name: 'db_client_connection_count',
    help: 'Connections of the pool.',
    labelNames: ['state'],
    read: (say) => {
      const { idle, used } = connections();
      say({ state: 'idle' }, idle);
      say({ state: 'used' }, used);
    },
  });
  metrics.observe({
    name: 'db_client_connection_pending_requests',
    help: 'Who waits for a connection.',
    read: (say) => say({}, connections().waiting),
  });
  metrics.observe({
    name: 'db_client_connection_max',
    help: 'Most connections of the pool.',
    read: (say) => say({}, connections().most),
  });
};
