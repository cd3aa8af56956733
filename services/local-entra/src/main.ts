import './stay-small.ts';
import { createLogger, packageIdentity, parseConfig, runService, serve } from '@countersign/service-kit';
import { configSchema, optionsOf } from './config.ts';
import { createLocalEntra } from './local-entra.ts';

const service = packageIdentity(new URL('../package.json', import.meta.url));

await runService(service, async () => {
  const config = parseConfig(configSchema, process.env);
  const logger = createLogger({ ...service, level: config.LOG_LEVEL });
  const readiness = { accepting: true };
  const { server, closeSidePorts } = await createLocalEntra({ ...optionsOf(config), logger, readiness });
  await serve({
    server,
    host: config.HOST,
    port: config.PORT,
    logger,
    readiness,
    drainDelayMs: config.DRAIN_DELAY_MS,
    drainTimeoutMs: config.DRAIN_TIMEOUT_MS,
    close: closeSidePorts,
  });
});
