/** A service for the lifecycle test: `/slow` answers once something came in on standard input. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createLogger, runService, serve } from '@countersign/service-kit';

const service = { name: 'draining-service', version: '0.0.0' };

await runService(service, async () => {
  const released = once(process.stdin, 'data');
  const readiness = { accepting: true };
  if (process.env['LEFT_OPEN']) setInterval(() => undefined, 60_000);
  const server = createServer((request, response) => {
    const answer = (): unknown => response.end(String(readiness.accepting));
    if (request.url !== '/slow') answer();
    else {
      // Tells the test that the request is in flight.
      response.writeProcessing();
      void released.then(answer);
    }
  });
  await serve({
    server,
    host: '127.0.0.1',
    port: Number(process.env['PORT'] ?? 0),
    logger: createLogger(service),
    readiness,
    drainDelayMs: Number(process.env['DRAIN_DELAY_MS'] ?? 0),
    drainTimeoutMs: Number(process.env['DRAIN_TIMEOUT_MS'] ?? 10_000),
  });
});
