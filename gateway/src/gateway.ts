import { createServer, type Server } from 'node:http';
import type { Server as TlsServer } from 'node:tls';
import type { Logger, Readiness } from '@countersign/service-kit';
import { keyEvents, type Metrics } from '@countersign/service-kit/metrics';
import {
  type AuthObserver,
  createEntraNetwork,
  createTokenVerifier,
  type TokenVerifier,
} from '@countersign/shared-auth';
import { createAdminApp } from './admin/admin-app.ts';
import { createGatewayMetrics } from './admin/metrics.ts';
import { createRecentRequests } from './admin/recent-requests.ts';
import { createApp } from './app.ts';
import type { Config } from './config.ts';
import { openRateLimitStore } from './limits/rate-limit-store.ts';
import { storeCredentials } from './limits/store-credentials.ts';
import { followKeyPair, readKeyPair } from './key-pair.ts';
import { createListener } from './listener.ts';
import { forward } from './proxy/forward.ts';
import { openLiveTable } from './proxy/live-table.ts';
import { createHttp1Transport } from './transport/http1-transport.ts';
import type { Transport, TransportOptions } from './transport/transport.ts';
import { createUndiciTransport } from './transport/undici-transport.ts';

export interface Gateway {
  /** For clients. */
  server: Server;
  /** For operators. */
  admin: Server;
  /** Ends WebSockets, which no answer ends. */
  endTunnels: () => void;
  /** Closes the ways to upstreams and stores. */
  close: () => Promise<void>;
}

const createVerifiers = (config: Config, observer: AuthObserver): Map<string, TokenVerifier> => {
  const { AZURE_AUTHORITY_HOST: authorityHost, AZURE_TENANT_ID: tenantId, CA_FILE: ca } = config;
  // The configuration was refused if it had APIS without these.
  if (!authorityHost || !tenantId) return new Map();
  const network = createEntraNetwork(ca ? { ca } : {});
  const verifierOf = (clientId: string) =>
    createTokenVerifier({ authorityHost, tenantId, clientId, network, observer });
  return new Map([...config.APIS].map(([name, clientId]) => [name, verifierOf(clientId)]));
};

/** Our own client speaks plain HTTP/1.1 alone. */
const transportsFor =
  ({ TRANSPORT, CA_FILE: ca }: Config) =>
  (origin: string, options: TransportOptions): Transport =>
    TRANSPORT === 'http1' && origin.startsWith('http:')
      ? createHttp1Transport(origin, options)
      : createUndiciTransport(origin, { ...options, ca });

/**
 * Makes the gateway from its configuration. Neither server listens yet.
 *
 * @throws {ConfigError} when the route table cannot be used.
 */
export const createGateway = async (
  config: Config,
  logger: Logger,
  readiness: Readiness,
  metrics: Metrics,
): Promise<Gateway> => {
  const verifiers = createVerifiers(config, keyEvents(metrics));
  // A first request should not have to wait for keys; one that comes while they cannot be had is answered 503.
  for (const verifier of verifiers.values()) verifier.ready().catch(() => undefined);
  const redis = config.RATE_LIMIT_STORE_URL
    ? openRateLimitStore(config.RATE_LIMIT_STORE_URL, logger, storeCredentials(config, logger))
    : undefined;
  const recent = createRecentRequests(() => Date.now());
  const counted = createGatewayMetrics({ metrics, table: () => live.current(), verifiers, recent });
  const live = await openLiveTable({
    file: config.ROUTES_FILE,
    surroundings: { locations: config.UPSTREAMS, apis: new Set(verifiers.keys()) },
    logger,
    rateLimits: {
      redis,
      onStoreChange: (working, error) =>
        working
          ? logger.info('rate limits are counted together again')
          : logger.error({ err: error }, 'the rate limit store fails; this process counts for itself'),
    },
    upstreams: {
      createTransport: transportsFor(config),
      report: (event) => logger.warn(event, 'an upstream changed'),
    },
    onReload: counted.countReload,
  });
  const table = live.current;
  const stopping = new AbortController();
  const trustedProxies = config.TRUSTED_PROXIES;
  const app = createApp({
    logger,
    readiness,
    metrics: counted,
    forward: forward({ table, verifiers, trustedProxies, stopping: stopping.signal }),
  });
  const { TLS_CERTIFICATE_FILE: certificate, TLS_KEY_FILE: key } = config;
  const files = certificate && key ? { certificate, key } : undefined;
  const tls = files && readKeyPair(files);
  const server = createListener({
    handle: app.callback(),
    logger,
    protocol: config.PROTOCOL,
    tls,
    maxConnections: config.MAX_CONNECTIONS,
    maxConnectionsPerAddress: config.MAX_CONNECTIONS_PER_ADDRESS,
    trustedProxies,
    clientIdleMs: config.CLIENT_IDLE_MS,
    keepAliveMs: config.KEEP_ALIVE_MS,
    onRefused: counted.countRefused,
  });
  const stopFollowing =
    files && tls && followKeyPair({ files, pair: tls, server: server as unknown as TlsServer, logger });
  const admin = createServer(createAdminApp({ logger, table, metrics, recent }).callback());
  const close = async (): Promise<void> => {
    admin.close();
    admin.closeAllConnections();
    redis?.destroy();
    stopFollowing?.();
    await live.close();
  };
  return { server, admin, endTunnels: () => stopping.abort(), close };
};
