import { createLogger, packageIdentity, parseConfig, runService, serve } from '@countersign/service-kit';
import { createEntraNetwork, createTokenVerifier } from '@countersign/shared-auth';
import { createApp } from './app.ts';
import { type Config, configSchema } from './config.ts';
import { createListener } from './listener.ts';
import { forward } from './proxy/forward.ts';
import { openLiveTable } from './proxy/live-table.ts';
import { createHttp1Transport } from './transport/http1-transport.ts';
import type { Transport } from './transport/transport.ts';
import { createUndiciTransport } from './transport/undici-transport.ts';

const service = packageIdentity(new URL('../package.json', import.meta.url));

const createVerifiers = (config: Config) => {
  const { AZURE_AUTHORITY_HOST: authorityHost, AZURE_TENANT_ID: tenantId, CA_FILE: ca } = config;
  if (!authorityHost || !tenantId) return new Map<string, never>();
  const network = createEntraNetwork(ca ? { ca } : {});
  const verifierOf = (clientId: string) =>
    createTokenVerifier({ authorityHost, tenantId, clientId, network });
  return new Map([...config.APIS].map(([name, clientId]) => [name, verifierOf(clientId)]));
};

/** Our own client speaks plain HTTP/1.1 alone. */
const createTransport = (origin: string): Transport =>
  origin.startsWith('http:') ? createHttp1Transport(origin) : createUndiciTransport(origin);

await runService(service, async () => {
  const config = parseConfig(configSchema, process.env);
  const logger = createLogger({ ...service, level: config.LOG_LEVEL });
  const verifiers = createVerifiers(config);
  // A first request should not have to wait for keys; one that comes while they cannot be had is answered 503.
  for (const verifier of verifiers.values()) verifier.ready().catch(() => undefined);
  const table = await openLiveTable({
    file: config.ROUTES_FILE,
    surroundings: { locations: config.UPSTREAMS, apis: new Set(verifiers.keys()) },
    logger,
    rateLimits: {},
    upstreams: {
      createTransport: config.TRANSPORT === 'undici' ? createUndiciTransport : createTransport,
      report: (event) => logger.warn(event, 'an upstream changed'),
    },
  });
  const readiness = { accepting: true };
  const app = createApp({
    logger,
    readiness,
    forward: forward({ table: table.current, verifiers, trustedProxies: config.TRUSTED_PROXIES }),
  });
  const { TLS_CERTIFICATE_FILE: certificate, TLS_KEY_FILE: key } = config;
  await serve({
    server: createListener({
      handle: app.callback(),
      logger,
      protocol: config.PROTOCOL,
      tls: certificate && key ? { certificate, key } : undefined,
      maxConnections: config.MAX_CONNECTIONS,
      maxConnectionsPerAddress: config.MAX_CONNECTIONS_PER_ADDRESS,
      trustedProxies: config.TRUSTED_PROXIES,
      clientIdleMs: config.CLIENT_IDLE_MS,
      keepAliveMs: config.KEEP_ALIVE_MS,
    }),
    host: config.HOST,
    port: config.PORT,
    drainTimeoutMs: config.DRAIN_TIMEOUT_MS,
    logger,
    readiness,
    close: () => table.close(),
  });
});
