/** caller-api that lets anybody in and calls without a token: for bench:system alone. Its settings are those of caller-api. */
import { createServer } from 'node:http';
import { createLogger, runService, serve } from '@countersign/service-kit';
import { callEvents, countRequests, createMetrics } from '@countersign/service-kit/metrics';
import { createDownstreamApi, type TokenSource } from '@countersign/shared-auth';
import { createAccess } from '../../services/caller-api/src/access.ts';
import { createApp } from '../../services/caller-api/src/app.ts';
import { createRecordsClient } from '../../services/caller-api/src/records-client.ts';

const service = { name: 'unchecked-caller', version: '0.0.0' };

await runService(service, async () => {
  const { RECORDS_API_URL: baseUrl = '', RECORDS_API_SCOPE: scope = '' } = process.env;
  const logger = createLogger(service);
  const none = { accessToken: 'none', expiresAt: new Date(), fromCache: true, durationMs: 0 };
  const tokens: TokenSource = {
    getToken: async () => none,
    stats: () => ({ hits: 0, acquisitions: 0, failures: 0, tokens: 0 }),
  };
  const metrics = createMetrics(service);
  const observer = callEvents(metrics, ['records-api']);
  const recordsApi = createDownstreamApi({ name: 'records-api', baseUrl, scope, tokens, observer });
  const readiness = { accepting: true };
  const app = createApp({
    logger,
    readiness,
    records: createRecordsClient(recordsApi, tokens, scope),
    access: createAccess({ mode: 'anonymous', writes: false }),
    checkCredential: async () => undefined,
    observers: [countRequests(metrics)],
  });
  await serve({
    server: createServer(app.callback()),
    host: '127.0.0.1',
    port: 0,
    drainTimeoutMs: 1_000,
    logger,
    readiness,
    close: () => recordsApi.close(),
  });
});
