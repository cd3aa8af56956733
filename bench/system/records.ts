/**
 * records-api twice in one process, over one database: first with its check of who calls, then without, for bench:system
 * alone. Its settings are those of records-api.
 */
import { createServer } from 'node:http';
import { createLogger, runService, serve } from '@countersign/service-kit';
import { createMetrics } from '@countersign/service-kit/metrics';
import { createEntraNetwork, createTokenVerifier } from '@countersign/shared-auth';
import { createApp, createStack } from '../../services/records-api/src/app.ts';
import { configSchema, parseRecordsConfig } from '../../services/records-api/src/config.ts';
import { createObservation } from '../../services/records-api/src/observation.ts';
import { createRecordStore } from '../../services/records-api/src/store/create-record-store.ts';
import { openDatabase } from '../../services/records-api/src/store/open-database.ts';

const service = { name: 'records-api', version: '0.0.0' };

await runService(service, async () => {
  const config = parseRecordsConfig(configSchema, process.env);
  const logger = createLogger(service);
  const database = openDatabase(config, process.env, logger);
  const observation = createObservation(createMetrics(service), database);
  const store = observation.store(createRecordStore(database));
  const verifier = createTokenVerifier({
    authorityHost: config.AZURE_AUTHORITY_HOST,
    tenantId: config.AZURE_TENANT_ID,
    clientId: config.API_CLIENT_ID,
    network: createEntraNetwork({ ca: config.CA_FILE ?? '' }),
    observer: observation.auth,
  });
  const readiness = { accepting: true };
  const { version } = service;
  const options = { logger, version, readiness, store, observers: observation.middleware };
  const checked = createApp({ ...options, verifier: observation.verifier(verifier) });
  const open = createStack(options, undefined, {});
  for (const app of [checked, open]) {
    await serve({
      server: createServer(app.callback()),
      host: config.HOST,
      port: 0,
      drainTimeoutMs: 1_000,
      logger,
      readiness,
    });
  }
});
