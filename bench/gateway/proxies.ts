import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { apiClientId, role, tenantId, type Entra } from './entra.ts';
import { writeNginxConfig } from './nginx.ts';
import { answering, freePort, start, type Program } from './processes.ts';
import { paths, type Upstream } from './upstream.ts';

/** What every proxy is started with. */
export interface Surroundings {
  folder: string;
  core: number;
  upstream: Upstream;
  entra: Entra;
  /** Of every request. */
  headers: Readonly<Record<string, string>>;
}

export interface Proxy extends Program {
  origin: string;
}

/** How a proxy is started on a port. */
type Command = (
  surroundings: Surroundings,
  port: number,
) => Promise<{ command: string; args: string[]; env?: Record<string, string> }>;

const here = (file: string): string => fileURLToPath(new URL(file, import.meta.url));

const nginx: Command = async ({ folder, upstream }, port) => {
  const config = await writeNginxConfig(
    folder,
    'nginx',
    `upstream service { server 127.0.0.1:${upstream.port}; keepalive 128; keepalive_requests 1000000000; }
    server {
      listen 127.0.0.1:${port} backlog=4096;
      location / {
        proxy_pass http://service;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        # Bodies stream, as they do through the others.
        proxy_request_buffering off;
        proxy_max_temp_file_size 0;
      }
    }`,
  );
  return { command: 'nginx', args: ['-c', config] };
};

const haproxy: Command = async ({ folder, upstream, entra }, port) => {
  const config = join(folder, 'haproxy.cfg');
  const issuer = `${entra.origin}/${tenantId}/v2.0`;
  await writeFile(
    config,
    `global
  nbthread 1
  maxconn 8192
defaults
  mode http
  timeout connect 2s
  timeout client 60s
  timeout server 60s
frontend entrance
  bind 127.0.0.1:${port} backlog 4096
  http-request set-var(txn.token) http_auth_bearer
  http-request set-var(txn.alg) var(txn.token),jwt_header_query('$.alg')
  http-request set-var(txn.iss) var(txn.token),jwt_payload_query('$.iss')
  http-request set-var(txn.aud) var(txn.token),jwt_payload_query('$.aud')
  http-request set-var(txn.exp) var(txn.token),jwt_payload_query('$.exp','int')
  http-request set-var(txn.now) date()
  http-request deny deny_status 401 unless { var(txn.alg) -m str RS256 }
  http-request deny deny_status 401 unless { var(txn.iss) -m str ${issuer} }
  http-request deny deny_status 401 unless { var(txn.aud) -m str ${apiClientId} }
  http-request deny deny_status 401 if { var(txn.exp),sub(txn.now) -m int lt 0 }
  http-request deny deny_status 401 unless { var(txn.token),jwt_verify(txn.alg,"${entra.keyFile}") 1 }
  default_backend service
backend service
  http-reuse always
  server upstream 127.0.0.1:${upstream.port}
`,
  );
  return { command: 'haproxy', args: ['-db', '-f', config] };
};

/** A file of bench/gateway/peers. */
const peer =
  (file: string): Command =>
  async ({ upstream }, port) => ({
    command: process.execPath,
    args: ['--no-deprecation', here(`peers/${file}.ts`)],
    env: { NODE_ENV: 'production', PORT: String(port), UPSTREAM: upstream.origin },
  });

/** As shipped: with access check, rate limit, access log, metrics, ids and health checks. */
const ours =
  (transport: 'http1' | 'undici'): Command =>
  async ({ folder, upstream, entra }, port) => {
    const routes = join(folder, 'routes.yaml');
    const table = {
      upstreams: {
        bench: { addresses: [upstream.origin], maxInFlight: 2_000, healthCheck: { path: '/healthz' } },
      },
      routes: [
        {
          path: '/api',
          upstream: 'bench',
          access: { api: 'records-api', policy: { appRole: role } },
          rateLimit: { requests: 10_000_000, perSeconds: 60, by: 'application' },
        },
      ],
    };
    await writeFile(routes, JSON.stringify(table));
    const env = {
      NODE_ENV: 'production',
      PORT: String(port),
      ADMIN_PORT: '0',
      ROUTES_FILE: routes,
      APIS: `records-api=${apiClientId}`,
      AZURE_AUTHORITY_HOST: entra.origin,
      AZURE_TENANT_ID: tenantId,
      CA_FILE: entra.caFile,
      TRANSPORT: transport,
    };
    return { command: process.execPath, args: [here('../../gateway/dist/main.js')], env };
  };

const nodePeers = {
  'fast-gateway': peer('fast-gateway'),
  fastify: peer('fastify-http-proxy'),
  'http-proxy-middleware': peer('http-proxy-middleware'),
  'koa-proxies': peer('koa-proxies'),
} satisfies Record<string, Command>;

const commands = {
  nginx,
  haproxy,
  ...nodePeers,
  ours: ours('http1'),
  'ours-undici': ours('undici'),
} satisfies Record<string, Command>;

export type ProxyName = keyof typeof commands;
export const proxyNames = Object.keys(commands) as ProxyName[];
export const nodePeerNames = Object.keys(nodePeers) as (keyof typeof nodePeers)[];

/** Starts a proxy and waits until it forwards. */
export const startProxy = async (name: ProxyName, surroundings: Surroundings): Promise<Proxy> => {
  const port = await freePort();
  const command = await commands[name](surroundings, port);
  const program = start({ name, core: surroundings.core, ...command });
  const origin = `http://127.0.0.1:${port}`;
  await answering(name, `${origin}${paths.small}`, surroundings.headers);
  return { ...program, origin };
};
