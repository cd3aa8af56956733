import { access, constants } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createLogger, endProcess, packageIdentity, runService, serve } from '@countersign/service-kit';
import {
  callEvents,
  countRequests,
  createMetrics,
  keyEvents,
  observeTokens,
  observeVerifiers,
  openMetricsPort,
} from '@countersign/service-kit/metrics';
import {
  type AuthObserver,
  type ClientCredential,
  createDownstreamApi,
  createEntraNetwork,
  createRedisTokenStore,
  createSharedTokenCache,
  createTokenSource,
  createTokenVerifier,
  type EntraNetwork,
  type RedisTokenStore,
} from '@countersign/shared-auth';
import { type AccessMode, createAccess } from './access.ts';
import { createApp } from './app.ts';
import { type CallerConfig, credentialFile, hostsOf, parseCallerConfig } from './config.ts';
import { type ClosableTokenSource, runJob } from './export/job.ts';
import { createRecordsClient } from './records-client.ts';

const service = packageIdentity(new URL('../package.json', import.meta.url));

const credentialOf = (config: CallerConfig): ClientCredential => {
  const file = credentialFile(config);
  if (config.AZURE_CLIENT_SECRET_FILE !== undefined) return { clientSecretFile: file };
  return config.AZURE_CLIENT_CERTIFICATE_PATH === undefined
    ? { federatedTokenFile: file }
    : { certificateFile: file };
};

const networkOf = ({ CA_FILE: ca }: CallerConfig): EntraNetwork =>
  createEntraNetwork(ca === undefined ? {} : { ca });

const tokenStoreOf = (config: CallerConfig): RedisTokenStore | undefined => {
  const { TOKEN_CACHE_URL: url, TOKEN_CACHE_PASSWORD_FILE: password, CA_FILE: ca } = config;
  if (url === undefined) return undefined;
  return createRedisTokenStore({
    url,
    ...(password !== undefined && { password }),
    ...(ca !== undefined && { ca }),
  });
};

const tokensOf = (config: CallerConfig, observer: AuthObserver = {}): ClosableTokenSource => {
  const { TOKEN_CACHE_KEY_FILE: keys } = config;
  const store = tokenStoreOf(config);
  const tokens = createTokenSource({
    authorityHost: config.AZURE_AUTHORITY_HOST,
    tenantId: config.AZURE_TENANT_ID,
    clientId: config.AZURE_CLIENT_ID,
    credential: credentialOf(config),
    network: networkOf(config),
    observer,
    ...(store && keys && { sharedCache: createSharedTokenCache({ store, keys, observer }) }),
  });
  return { ...tokens, [Symbol.dispose]: () => store?.close() };
};

const accessModeOf = (config: CallerConfig, observer: AuthObserver): AccessMode => {
  if (config.ACCESS_MODE === 'anonymous') {
    return { mode: 'anonymous', writes: config.ANONYMOUS_WRITES === 'allow' };
  }
  const verifier = createTokenVerifier({
    authorityHost: config.AZURE_AUTHORITY_HOST,
    tenantId: config.AZURE_TENANT_ID,
    clientId: config.AZURE_CLIENT_ID,
    network: networkOf(config),
    observer,
  });
  return config.ACCESS_MODE === 'ingress'
    ? { mode: 'ingress', verifier, applicationIds: config.INGRESS_CLIENT_IDS ?? [] }
    : {
        mode: 'app-role',
        verifier,
        readRole: config.ACCESS_APP_ROLE as string,
        writeRole: config.ACCESS_WRITE_APP_ROLE,
      };
};

const runCallerApi = async (): Promise<void> => {
  const config = parseCallerConfig(process.env);
  const logger = createLogger({ ...service, level: config.LOG_LEVEL });
  const metrics = createMetrics(service);
  const observer: AuthObserver = {
    ...keyEvents(metrics),
    ...callEvents(metrics, ['records-api']),
    sharedCacheChanged: ({ isWorking, error }) =>
      isWorking
        ? logger.info('tokens are shared again')
        : logger.warn({ err: error }, 'the token cache fails; this process keeps its tokens for itself'),
  };
  const mode = accessModeOf(config, observer);
  if (mode.mode === 'anonymous') {
    const may = mode.writes ? 'reads and writes' : 'reads';
    logger.warn(`ACCESS_MODE is anonymous: whoever reaches this service ${may} the records`);
  }
  if (mode.mode !== 'anonymous') observeVerifiers(metrics, new Map([['caller-api', mode.verifier]]));
  const tokens = tokensOf(config, observer);
  observeTokens(metrics, tokens);
  const recordsApi = createDownstreamApi({
    name: 'records-api',
    baseUrl: config.RECORDS_API_URL,
    allowPlainHttp: true,
    scope: config.RECORDS_API_SCOPE,
    tokens,
    timeoutMs: config.RECORDS_API_TIMEOUT_MS,
    observer,
    ...(config.CA_FILE && { ca: config.CA_FILE }),
  });
  const records = createRecordsClient(recordsApi, tokens, config.RECORDS_API_SCOPE);
  const checkCredential = (): Promise<void> => access(credentialFile(config), constants.R_OK);
  const readiness = { accepting: true };
  const app = createApp({
    logger,
    readiness,
    records,
    access: createAccess(mode),
    hosts: hostsOf(config),
    checkCredential,
    observers: [countRequests(metrics)],
  });
  await openMetricsPort(config, metrics, logger);
  await serve({
    server: createServer(app.callback()),
    host: config.HOST,
    port: config.PORT,
    drainDelayMs: config.DRAIN_DELAY_MS,
    drainTimeoutMs: config.DRAIN_TIMEOUT_MS,
    logger,
    readiness,
    close: () => {
      recordsApi.close();
      tokens[Symbol.dispose]();
    },
  });
};

const args = process.argv.slice(2);
if (args.length === 0) await runService(service, runCallerApi);
else endProcess(await runJob({ service, args, process, tokensOf }));
