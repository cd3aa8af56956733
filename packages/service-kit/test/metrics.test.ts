import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, test } from '@jest/globals';
import Koa from 'koa';
import {
  accessLog,
  createLogger,
  createStepRecorder,
  noteStep,
  problemDetails,
  ProblemError,
  requestContext,
  type ServiceState,
} from '../src/index.ts';
import { countRequests, createMetrics, createOperatorApp, metricsPage } from '../src/metrics/index.ts';

const cleanUp: (() => void)[] = [];
afterEach(() => {
  for (const step of cleanUp.splice(0)) step();
});

const listen = async (app: Koa<ServiceState>): Promise<string> => {
  const server = createServer(app.callback()).listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanUp.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
};

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';

const start = async () => {
  const records: Record<string, unknown>[] = [];
  const write = (line: string): unknown => records.push(JSON.parse(line) as Record<string, unknown>);
  const logger = createLogger({ name: 'test', version: '1.2.3', destination: { write } });
  const metrics = createMetrics({ name: 'test', version: '1.2.3' });
  const steps = createStepRecorder();
  const app = new Koa<ServiceState>();
  app.use(requestContext(logger));
  app.use(accessLog);
  app.use(countRequests(metrics));
  app.use(steps.middleware);
  app.use(problemDetails());
  app.use(async (ctx) => {
    if (ctx.path === '/refused') throw new ProblemError('no', { status: 403, code: 'insufficient_role' });
    ctx.state.logFields['http.route'] = '/things/:id';
    // As a database would: it knows of no request.
    await Promise.resolve().then(() => steps.note('sql', performance.now() - 2, 'slow'));
    for (let count = 0; count < 50; count += 1) noteStep(ctx.state, 'page', performance.now() - 1);
    ctx.body = 'ok';
  });
  steps.note('sql', performance.now());
  const operator = createOperatorApp(logger, { '/metrics': metricsPage(metrics) });
  return { metrics, records, url: await listen(app), operatorUrl: await listen(operator) };
};

const scrape = async (url: string, accept = 'text/plain'): Promise<[string, string | null]> => {
  const response = await fetch(`${url}/metrics`, { headers: { accept } });
  return [await response.text(), response.headers.get('content-type')];
};

describe('metrics', () => {
  test('requests are counted by route, method and status; what a client makes up is no label', async () => {
    const { url, operatorUrl } = await start();
    for (const path of ['/things/1', '/things/2', '/refused']) await (await fetch(url + path)).text();
    await (await fetch(`${url}/things/3`, { method: 'PROPFIND' })).text();
    const [text, type] = await scrape(operatorUrl);
    expect(type).toBe('text/plain; version=0.0.4; charset=utf-8');
    const count = (labels: string): string => `http_server_request_duration_seconds_count{${labels}}`;
    const labels = (method: string, route: string, status: number): string =>
      `http_request_method="${method}",http_route="${route}",http_response_status_code="${status}"`;
    expect(text).toContain(`${count(labels('GET', '/things/:id', 200))} 2`);
    expect(text).toContain(`${count(labels('_OTHER', '/things/:id', 200))} 1`);
    expect(text).toContain(`${count(labels('GET', 'none', 403))} 1`);
    expect(text).toContain('http_server_problems_total{http_route="none",code="insufficient_role"} 1');
    expect(text).toContain('service_info{service_name="test",service_version="1.2.3"} 1');
    expect(text).toMatch(/^nodejs_eventloop_lag_p99_seconds /m);
    expect(text).not.toContain('/things/1');
  });

  test('OpenMetrics has the trace of a value that it counts, and spoils nothing for the other format', async () => {
    const { url, operatorUrl } = await start();
    const ask = (flags: string) =>
      fetch(`${url}/things/1`, { headers: { traceparent: `00-${traceId}-00f067aa0ba902b7-${flags}` } });
    await (await ask('00')).text();
    const accept = 'application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3';
    expect((await scrape(operatorUrl, accept))[0]).not.toContain(traceId);
    await (await ask('01')).text();
    await (await fetch(`${url}/refused`)).text();
    const [open, type] = await scrape(operatorUrl, accept);
    expect(type).toBe('application/openmetrics-text; version=1.0.0; charset=utf-8');
    expect(open).toMatch(
      /^http_server_request_duration_seconds_bucket\{.*le="[\d.]+"\} \d+ # \{trace_id="4bf92f3577b34da6a3ce929d0e0e4736"\} [\d.e-]+ [\d.]+$/m,
    );
    expect(open).toContain('# TYPE http_server_problems counter\nhttp_server_problems_total{');
    expect(open.endsWith('\n# EOF\n')).toBe(true);
    const [plain] = await scrape(operatorUrl);
    expect(plain).toContain('# TYPE http_server_problems_total counter');
    expect(plain).not.toContain(traceId);
  });

  test('a label that holds a quote, a backslash or a line break stays one label', async () => {
    const { metrics } = await start();
    metrics.observe({
      name: 'odd',
      help: 'Odd.',
      labelNames: ['a'],
      read: (say) => say({ a: 'x"\\\n' }, Number.POSITIVE_INFINITY),
    });
    expect(await metrics.text('openmetrics')).toContain('\nodd{a="x\\"\\\\\\n"} +Inf\n');
  });
});

describe('steps', () => {
  test('are in the completion record of their request, from its start, and no more than twenty', async () => {
    const { url, records } = await start();
    await (await fetch(`${url}/things/1`)).text();
    await (await fetch(`${url}/refused`)).text();
    const [done, refused] = records.filter(({ msg }) => msg === 'request completed');
    const steps = done?.['steps'] as { name: string; at_ms: number; duration_ms: number; outcome?: string }[];
    expect(steps).toHaveLength(20);
    expect(steps[0]).toMatchObject({ name: 'sql', outcome: 'slow' });
    expect(steps[0]?.duration_ms).toBeGreaterThanOrEqual(2);
    // The last one stands for the 31 that followed the nineteenth.
    expect(steps[19]?.duration_ms).toBeGreaterThanOrEqual(31);
    expect(refused).not.toHaveProperty('steps');
  });
});
