/** A service for the lifecycle test: `/slow` answers on SIGUSR2. */
import { createServer } from 'node:http';
import { createLogger, runService, serve } from '@countersign/service-kit';

const service = { name: 'draining-service', version: '0.0.0' };

await runService(service, async () => {
  const readiness = { accepting: true };
  const logger = createLogger(service);
  if (process.env['WATCH_END']) process.once('beforeExit', () => logger.info('nothing is left to do'));
  if (process.env['LEFT_OPEN']) setInterval(() => undefined, 60_000);
  const server = createServer((request, response) => {
    const answer = (): unknown => response.end(String(readiness.accepting));
    if (request.url !== '/slow') answer();
    else {
      process.once('SIGUSR2', answer);
      // Tells the test that the request is in flight.
      response.writeProcessing();
    }
  });
  await serve({
    server,
    host: '127.0.0.1',
    port: Number(process.env['PORT'] ?? 0),
    logger,
    readiness,
    drainDelayMs: Number(process.env['DRAIN_DELAY_MS'] ?? 0),
    drainTimeoutMs: Number(process.env['DRAIN_TIMEOUT_MS'] ?? 10_000),
  });
});
