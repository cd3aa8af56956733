import { createLogger, packageIdentity, parseConfig, runService, serve } from '@countersign/service-kit';
import { configSchema } from './config.ts';
import { createLocalEntra } from './local-entra.ts';

const service = packageIdentity(new URL('../package.json', import.meta.url));

await runService(service, async () => {
  const config = parseConfig(configSchema, process.env);
  const logger = createLogger({ ...service, level: config.LOG_LEVEL });
  const readiness = { accepting: true };
  const { server } = await createLocalEntra({
    seed: config.SEED_FILE,
    seedName: process.env['SEED_FILE'],
    origin: config.ORIGIN,
    dataFolder: config.DATA_FOLDER,
    caFile: config.CA_FILE,
    secretsFolder: config.SECRETS_FOLDER,
    federationCa: config.FEDERATION_CA_FILE === undefined ? undefined : [config.FEDERATION_CA_FILE],
    logger,
    readiness,
  });
  await serve({
    server,
    host: config.HOST,
    port: config.PORT,
    logger,
    readiness,
    drainTimeoutMs: config.DRAIN_TIMEOUT_MS,
  });
});
