/**
 * records-api without its checks of who calls, and else the stack of services/records-api/src/app.ts: for bench:system
 * alone. Its settings are those of records-api.
 */
import { createServer } from 'node:http';
import {
  accessLog,
  createKoa,
  createLogger,
  health,
  problemDetails,
  requestContext,
  runService,
  serve,
} from '@countersign/service-kit';
import { createMetrics } from '@countersign/service-kit/metrics';
import { configSchema, parseRecordsConfig } from '../../services/records-api/src/config.ts';
import { createObservation } from '../../services/records-api/src/observation.ts';
import { openApiRouter } from '../../services/records-api/src/openapi.ts';
import { recordsRouter } from '../../services/records-api/src/records-router.ts';
import { createRecordStore } from '../../services/records-api/src/store/create-record-store.ts';
import { openDatabase } from '../../services/records-api/src/store/open-database.ts';
import { transfers } from '../../services/records-api/src/transfers.ts';

const service = { name: 'unchecked-records', version: '0.0.0' };

await runService(service, async () => {
  const config = parseRecordsConfig(configSchema, process.env);
  const logger = createLogger(service);
  const database = openDatabase(config, process.env, logger);
  const observation = createObservation(createMetrics(service), database);
  const store = observation.store(createRecordStore(database));
  const records = recordsRouter(store, [], transfers(store));
  const readiness = { accepting: true };
  const app = createKoa(logger);
  app.use(health(readiness, { store: () => store.check() }, logger));
  app.use(requestContext(logger));
  app.use(accessLog);
  for (const observer of observation.middleware) app.use(observer);
  app.use(problemDetails());
  app.use(openApiRouter(service.version).routes());
  app.use(records.routes());
  app.use(records.allowedMethods());
  await serve({
    server: createServer(app.callback()),
    host: config.HOST,
    port: 0,
    drainTimeoutMs: 1_000,
    logger,
    readiness,
    close: () => store.close(),
  });
});
