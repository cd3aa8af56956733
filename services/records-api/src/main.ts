import { createServer } from 'node:http';
import { ConfigError, createLogger, packageIdentity, runService, serve } from '@countersign/service-kit';
import { createMetrics, openMetricsPort } from '@countersign/service-kit/metrics';
import { createEntraNetwork, createTokenVerifier, UnknownTenantError } from '@countersign/shared-auth';
import { createApp } from './app.ts';
import { configSchema, parseRecordsConfig } from './config.ts';
import { createObservation } from './observation.ts';
import { createRecordStore } from './store/create-record-store.ts';
import { assertMigrated } from './store/migrations.ts';
import { openDatabase, reach } from './store/open-database.ts';

const service = packageIdentity(new URL('../package.json', import.meta.url));
const hourMs = 3_600_000;
/** How long a request may take to arrive: Node's five minutes would cut a long import off. */
const requestTimeoutMs = hourMs;

await runService(service, async () => {
  const config = parseRecordsConfig(configSchema, process.env);
  const logger = createLogger({ ...service, level: config.LOG_LEVEL });
  const database = openDatabase(config, process.env, logger);
  await reach(database, () => assertMigrated(database.reads, database.engine));
  const metrics = createMetrics(service);
  const observation = createObservation(metrics, database);
  const store = observation.store(createRecordStore(database));
  const verifier = createTokenVerifier({
    authorityHost: config.AZURE_AUTHORITY_HOST,
    tenantId: config.AZURE_TENANT_ID,
    clientId: config.API_CLIENT_ID,
    network: createEntraNetwork(config.CA_FILE ? { ca: config.CA_FILE } : {}),
    observer: observation.auth,
  });
  const observed = observation.verifier(verifier);
  const ready = (): Promise<void> =>
    observed.ready().catch((error: Error) => {
      // An outage passes; a wrong tenant is the end of the process.
      if (error.cause instanceof UnknownTenantError) {
        const unknown = `${error.cause.message}: check AZURE_TENANT_ID and AZURE_AUTHORITY_HOST`;
        queueMicrotask(() => {
          throw new ConfigError([unknown]);
        });
      }
      throw error;
    });
  const readiness = { accepting: true };
  setInterval(
    () =>
      void store
        .forgetKeys()
        .catch((error: unknown) => logger.warn({ err: error }, 'old idempotency keys are still there')),
    hourMs,
  ).unref();
  const app = createApp({
    logger,
    version: service.version,
    readiness,
    store,
    verifier: { ...observed, ready },
    observers: observation.middleware,
  });
  await openMetricsPort(config, metrics, logger);
  await serve({
    server: createServer({ requestTimeout: requestTimeoutMs, headersTimeout: 10_000 }, app.callback()),
    host: config.HOST,
    port: config.PORT,
    drainDelayMs: config.DRAIN_DELAY_MS,
    drainTimeoutMs: config.DRAIN_TIMEOUT_MS,
    logger,
    readiness,
    close: () => store.close(),
  });
});
