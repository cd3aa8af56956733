import { createLogger, packageIdentity, parseConfig, runService, serve } from '@countersign/service-kit';
import { createMetrics, openOperatorPort } from '@countersign/service-kit/metrics';
import { configSchema } from './config.ts';
import { createGateway } from './gateway.ts';

const service = packageIdentity(new URL('../package.json', import.meta.url));

await runService(service, async () => {
  const config = parseConfig(configSchema, process.env);
  const logger = createLogger({ ...service, level: config.LOG_LEVEL, buffered: true });
  const readiness = { accepting: true };
  const gateway = await createGateway(config, logger, readiness, createMetrics(service));
  const { server, admin, endTunnels, close } = gateway;
  if (config.ADMIN_PORT !== undefined) {
    await openOperatorPort(admin, config.ADMIN_HOST, config.ADMIN_PORT, 'ADMIN_PORT', logger);
  }
  await serve({
    server,
    host: config.HOST,
    port: config.PORT,
    drainDelayMs: config.DRAIN_DELAY_MS,
    drainTimeoutMs: config.DRAIN_TIMEOUT_MS,
    logger,
    readiness,
    endTunnels,
    close,
  });
});
