import { access, constants } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createLogger, packageIdentity, parseConfig, runService, serve } from '@countersign/service-kit';
import { createDownstreamApi, createEntraNetwork, createTokenSource } from '@countersign/shared-auth';
import { createApp } from './app.ts';
import { configSchema } from './config.ts';
import { createRecordsClient } from './records-client.ts';

const service = packageIdentity(new URL('../package.json', import.meta.url));

await runService(service, async () => {
  const config = parseConfig(configSchema, process.env);
  const logger = createLogger({ ...service, level: config.LOG_LEVEL });
  logger.warn('ACCESS_MODE is anonymous: whoever reaches this service reads the records');
  const tokens = createTokenSource({
    authorityHost: config.AZURE_AUTHORITY_HOST,
    tenantId: config.AZURE_TENANT_ID,
    clientId: config.AZURE_CLIENT_ID,
    credential: { clientSecretFile: config.AZURE_CLIENT_SECRET_FILE },
    network: createEntraNetwork(config.CA_FILE ? { ca: config.CA_FILE } : {}),
  });
  const recordsApi = createDownstreamApi({
    name: 'records-api',
    baseUrl: config.RECORDS_API_URL,
    allowPlainHttp: true,
    scope: config.RECORDS_API_SCOPE,
    tokens,
    timeoutMs: config.RECORDS_API_TIMEOUT_MS,
    ...(config.CA_FILE && { ca: config.CA_FILE }),
  });
  const fetchRecords = createRecordsClient(recordsApi);
  const checkCredential = () => access(config.AZURE_CLIENT_SECRET_FILE, constants.R_OK);
  const readiness = { accepting: true };
  await serve({
    server: createServer(createApp({ logger, readiness, fetchRecords, checkCredential }).callback()),
    host: config.HOST,
    port: config.PORT,
    drainDelayMs: config.DRAIN_DELAY_MS,
    drainTimeoutMs: config.DRAIN_TIMEOUT_MS,
    logger,
    readiness,
    close: () => recordsApi.close(),
  });
});
