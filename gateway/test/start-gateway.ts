import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createLogger } from '@countersign/service-kit';
import type { TokenVerifier } from '@countersign/shared-auth';
import type { GatewayMetrics } from '../src/admin/metrics.ts';
import { createApp } from '../src/app.ts';
import { createTrustedProxies } from '../src/headers/client-address.ts';
import { createListener } from '../src/listener.ts';
import { activateTable, type ActiveTable } from '../src/proxy/active-table.ts';
import { forward } from '../src/proxy/forward.ts';
import { parseRouteTable } from '../src/routes/route-table.ts';
import { createHttp1Transport } from '../src/transport/http1-transport.ts';
import type { UpstreamDependencies, UpstreamEvent } from '../src/upstream/upstream.ts';

const cleanUp: (() => unknown)[] = [];

/** Call it after each test: stops all that was started, the last first. */
export const stopAll = async (): Promise<void> => {
  for (const step of cleanUp.splice(0).toReversed()) await step();
};

/** Listens on a free port of loopback. */
export const listenOn = async (server: Server): Promise<string> => {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanUp.push(() => {
    // A server of HTTP/2 has no such method; its sessions are closed by those who opened them.
    server.closeAllConnections?.();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
};

/** Looks again after each turn of the event loop; the test's own time limit bounds it. */
export const whenTrue = async (condition: () => boolean): Promise<void> => {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
};

export const startUpstream = (listener: RequestListener): Promise<string> => listenOn(createServer(listener));

export interface GatewaySettings {
  /** The route table, as it would stand in YAML. */
  table: object;
  verifiers?: ReadonlyMap<string, TokenVerifier>;
  trustedProxies?: readonly string[];
  createTransport?: UpstreamDependencies['createTransport'];
  upstreams?: Partial<UpstreamDependencies>;
  maxConnections?: number;
  maxConnectionsPerAddress?: number;
  clientIdleMs?: number | undefined;
  keepAliveMs?: number;
  protocol?: 'http1' | 'h2c';
  tls?: { certificate: string; key: string };
  measureWith?: ((table: () => ActiveTable) => GatewayMetrics) | undefined;
}

export interface TestGateway {
  url: string;
  table: ActiveTable;
  /** What was logged, parsed. */
  records: Record<string, unknown>[];
  /** What upstreams reported. */
  events: UpstreamEvent[];
}

/** The gateway's whole stack behind its real listener. */
export const startGateway = async (settings: GatewaySettings): Promise<TestGateway> => {
  const verifiers = settings.verifiers ?? new Map<string, TokenVerifier>();
  const records: Record<string, unknown>[] = [];
  const events: UpstreamEvent[] = [];
  const logger = createLogger({
    name: 'gateway',
    version: '0.0.0',
    destination: { write: (line) => records.push(JSON.parse(line) as Record<string, unknown>) },
  });
  const table = await activateTable({
    table: parseRouteTable(JSON.stringify(settings.table), {
      locations: new Map(),
      apis: new Set(verifiers.keys()),
    }),
    upstreams: {
      createTransport: settings.createTransport ?? createHttp1Transport,
      report: (event) => events.push(event),
      ...settings.upstreams,
    },
    rateLimits: {},
  });
  const trustedProxies = createTrustedProxies(settings.trustedProxies ?? []);
  const metrics = settings.measureWith?.(() => table);
  const { signal: stopping } = new AbortController();
  const app = createApp({
    logger,
    metrics,
    readiness: { accepting: true },
    forward: forward({ table: () => table, verifiers, trustedProxies, stopping }),
  });
  const server = createListener({
    handle: app.callback(),
    logger,
    protocol: settings.protocol ?? 'http1',
    tls: settings.tls,
    maxConnections: settings.maxConnections ?? 2_000,
    maxConnectionsPerAddress: settings.maxConnectionsPerAddress ?? 1_000,
    trustedProxies,
    clientIdleMs: settings.clientIdleMs ?? 10_000,
    keepAliveMs: settings.keepAliveMs ?? 10_000,
    onRefused: metrics?.countRefused,
  });
  const url = await listenOn(server);
  cleanUp.push(() => table.close());
  return { url, table, records, events };
};
