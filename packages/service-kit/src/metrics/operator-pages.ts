import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type Koa from 'koa';
import type { Middleware } from 'koa';
import { Registry } from 'prom-client';
import { createKoa } from '../create-koa.ts';
import { listen } from '../lifecycle.ts';
import type { Logger } from '../logger.ts';
import { problemDetails } from '../problem.ts';
import { requestContext, type ServiceState } from '../request-context.ts';
import type { Metrics } from './create-metrics.ts';
import { openMetricsType } from './open-metrics.ts';

/**
 * A page elsewhere must not read this port through a name that it made point here (DNS rebinding). A name without a dot is
 * nobody's to register.
 */
const namedDirectly: Middleware = async function namedDirectly(ctx, next) {
  if (/^(?:[\w-]+|[\d.]+|\[[\da-f:]+\]|[\w-]+(?:\.[\w-]+)*\.svc(?:\.cluster\.local)?)$/i.test(ctx.hostname))
    await next();
  else ctx.throw(403, 'This port is asked by address.');
};

/** Pages that an operator may see, by path; read only. */
export const createOperatorApp = (
  logger: Logger,
  pages: Readonly<Record<string, Middleware>>,
): Koa<ServiceState> => {
  const app = createKoa(logger);
  app.use(requestContext(logger));
  app.use(problemDetails());
  app.use(namedDirectly as Middleware<ServiceState>);
  app.use(async function operatorPages(ctx, next) {
    const page = Object.hasOwn(pages, ctx.path) ? pages[ctx.path] : undefined;
    ctx.set('Cache-Control', 'no-store');
    if (page && (ctx.method === 'GET' || ctx.method === 'HEAD')) await page(ctx, next);
  });
  return app;
};

/** What Prometheus scrapes; OpenMetrics where that is asked for. */
export const metricsPage =
  (metrics: Metrics): Middleware =>
  async (ctx) => {
    const isOpen = /\bapplication\/openmetrics-text\b/.test(ctx.get('Accept'));
    ctx.vary('Accept');
    ctx.set('Content-Type', isOpen ? openMetricsType : Registry.PROMETHEUS_CONTENT_TYPE);
    ctx.body = await metrics.text(isOpen ? 'openmetrics' : 'prometheus');
  };

/**
 * Opens `/metrics` on a port of its own, where the configuration asks for one. The port is open until the process ends: a
 * service that drains still is looked at.
 *
 * @throws {ConfigError} when the address cannot be listened on.
 */
export const openMetricsPort = async (
  { METRICS_PORT: port, METRICS_HOST: host }: { METRICS_PORT?: number | undefined; METRICS_HOST: string },
  metrics: Metrics,
  logger: Logger,
): Promise<void> => {
  if (port === undefined) return;
  const server = createServer(createOperatorApp(logger, { '/metrics': metricsPage(metrics) }).callback());
  await openOperatorPort(server, host, port, 'METRICS_PORT', logger);
};

/** Listens, and logs where. It keeps no process from its end. @param setting what the port is called in the configuration */
export const openOperatorPort = async (
  server: Server,
  host: string,
  port: number,
  setting: string,
  logger: Logger,
): Promise<void> => {
  server.unref().on('connection', (socket) => socket.unref());
  await listen(server, host, port, setting);
  const { address, port: opened } = server.address() as AddressInfo;
  logger.info({ 'server.address': address, 'server.port': opened }, 'operator port open');
};
