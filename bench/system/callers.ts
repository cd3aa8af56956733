/**
 * caller-api twice in one process, for bench:system alone: first one with its checks and tokens, then one that lets
 * anybody in and calls with a token that is none. `CHECKED_RECORDS_URL` and `OPEN_RECORDS_URL` are what they call.
 */
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createLogger, runService, serve } from '@countersign/service-kit';
import { callEvents, countRequests, createMetrics } from '@countersign/service-kit/metrics';
import {
  createDownstreamApi,
  createEntraNetwork,
  createTokenSource,
  createTokenVerifier,
  type TokenSource,
} from '@countersign/shared-auth';
import { type AccessMode, createAccess } from '../../services/caller-api/src/access.ts';
import { createApp } from '../../services/caller-api/src/app.ts';
import { createRecordsClient } from '../../services/caller-api/src/records-client.ts';

const service = { name: 'caller-api', version: '0.0.0' };

const none = { accessToken: 'none', expiresAt: new Date(), fromCache: true, durationMs: 0 };
const noTokens: TokenSource = {
  getToken: () => Promise.resolve(none),
  stats: () => ({ hits: 0, acquisitions: 0, failures: 0, tokens: 0 }),
};

const setting = (name: string): string => process.env[name] ?? '';

await runService(service, async () => {
  const identity = {
    authorityHost: setting('AZURE_AUTHORITY_HOST'),
    tenantId: setting('AZURE_TENANT_ID'),
    clientId: setting('AZURE_CLIENT_ID'),
    network: createEntraNetwork({ ca: readFileSync(setting('CA_FILE'), 'utf8') }),
  };
  const scope = setting('RECORDS_API_SCOPE');
  const logger = createLogger(service);
  const metrics = createMetrics(service);
  const observer = callEvents(metrics, ['records-api']);
  const observers = [countRequests(metrics)];
  const readiness = { accepting: true };
  const credential = { clientSecretFile: setting('AZURE_CLIENT_SECRET_FILE') };
  const ways: { baseUrl: string; tokens: TokenSource; access: AccessMode }[] = [
    {
      baseUrl: setting('CHECKED_RECORDS_URL'),
      tokens: createTokenSource({ ...identity, credential, observer }),
      access: {
        mode: 'app-role',
        verifier: createTokenVerifier(identity),
        readRole: setting('ACCESS_APP_ROLE'),
        writeRole: undefined,
      },
    },
    {
      baseUrl: setting('OPEN_RECORDS_URL'),
      tokens: noTokens,
      access: { mode: 'anonymous', writes: false },
    },
  ];
  for (const { baseUrl, tokens, access } of ways) {
    const recordsApi = createDownstreamApi({ name: 'records-api', baseUrl, scope, tokens, observer });
    const app = createApp({
      logger,
      readiness,
      records: createRecordsClient(recordsApi, tokens, scope),
      access: createAccess(access),
      checkCredential: async () => undefined,
      observers,
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
  }
});
