/**
 * records-api without its check of who calls: for bench:system alone. Its settings are those of records-api.
 */
import { createServer } from 'node:http';
import { createLogger, runService, serve } from '@countersign/service-kit';
import { createMetrics } from '@countersign/service-kit/metrics';
import { createStack } from '../../services/records-api/src/app.ts';
import { configSchema, parseRecordsConfig } from '../../services/records-api/src/config.ts';
import { createObservation } from '../../services/records-api/src/observation.ts';
import { createRecordStore } from '../../services/records-api/src/store/create-record-store.ts';
import { openDatabase } from '../../services/records-api/src/store/open-database.ts';

const service = { name: 'unchecked-records', version: '0.0.0' };

await runService(service, async () => {
  const config = parseRecordsConfig(configSchema, process.env);
  const logger = createLogger(service);
  const database = openDatabase(config, process.env, logger);
  const observation = createObservation(createMetrics(service), database);
  const store = observation.store(createRecordStore(database));
  const readiness = { accepting: true };
  const { version } = service;
  const options = { logger, version, readiness, store, observers: observation.middleware };
  await serve({
    server: createServer(createStack(options, undefined, {}).callback()),
    host: config.HOST,
    port: 0,
    drainTimeoutMs: 1_000,
    logger,
    readiness,
    close: () => store.close(),
  });
});
