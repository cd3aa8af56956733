import { createServer } from 'node:http';
import { createLogger, packageIdentity, parseConfig, runService, serve } from '@countersign/service-kit';
import { createApp } from './app.ts';
import { configSchema } from './config.ts';
import { createForward } from './forward.ts';
import { readRouteTable } from './route-table.ts';

const service = packageIdentity(new URL('../package.json', import.meta.url));

await runService(service, async () => {
  const config = parseConfig(configSchema, process.env);
  const logger = createLogger({ ...service, level: config.LOG_LEVEL });
  const { forward, close } = createForward({
    routes: readRouteTable(config.ROUTES_FILE, new Set(config.UPSTREAMS.keys())),
    upstreams: config.UPSTREAMS,
    timeoutMs: config.UPSTREAM_TIMEOUT_MS,
  });
  const readiness = { accepting: true };
  await serve({
    server: createServer(createApp({ logger, readiness, forward }).callback()),
    host: config.HOST,
    port: config.PORT,
    drainTimeoutMs: config.DRAIN_TIMEOUT_MS,
    logger,
    readiness,
    close,
  });
});
