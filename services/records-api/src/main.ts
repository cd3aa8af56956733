import { createServer } from 'node:http';
import {
  createLogger,
  ConfigError,
  packageIdentity,
  parseConfig,
  runService,
  serve,
} from '@countersign/service-kit';
import { createEntraNetwork, createTokenVerifier } from '@countersign/shared-auth';
import { createApp } from './app.ts';
import { configSchema } from './config.ts';
import type { RecordStore } from './record-store.ts';
import { openSqliteRecordStore } from './sqlite-record-store.ts';

const service = packageIdentity(new URL('../package.json', import.meta.url));

const openStore = (folder: string): RecordStore => {
  try {
    return openSqliteRecordStore(folder);
  } catch (error) {
    throw new ConfigError([`DATA_FOLDER ${folder} cannot hold the records: ${(error as Error).message}`]);
  }
};

await runService(service, async () => {
  const config = parseConfig(configSchema, process.env);
  const logger = createLogger({ ...service, level: config.LOG_LEVEL });
  const store = openStore(config.DATA_FOLDER);
  const verifier = createTokenVerifier({
    authorityHost: config.AZURE_AUTHORITY_HOST,
    tenantId: config.AZURE_TENANT_ID,
    clientId: config.API_CLIENT_ID,
    network: createEntraNetwork(config.CA_FILE ? { ca: config.CA_FILE } : {}),
  });
  const readiness = { accepting: true };
  await serve({
    server: createServer(createApp({ logger, readiness, store, verifier }).callback()),
    host: config.HOST,
    port: config.PORT,
    drainDelayMs: config.DRAIN_DELAY_MS,
    drainTimeoutMs: config.DRAIN_TIMEOUT_MS,
    logger,
    readiness,
    close: () => store.close(),
  });
});
