import { createServer } from 'node:http';
import { connect } from 'node:net';
import { createLogger } from '@countersign/service-kit';
import { createMetrics } from '@countersign/service-kit/metrics';
import { afterEach, describe, expect, test } from '@jest/globals';
import { createAdminApp } from '../src/admin/admin-app.ts';
import { createGatewayMetrics } from '../src/admin/metrics.ts';
import { createRecentRequests } from '../src/admin/recent-requests.ts';
import { listenOn, startGateway, startUpstream, stopAll } from './start-gateway.ts';

afterEach(stopAll);

const start = async () => startTo(await startUpstream((_request, response) => response.end('ok')));

const startTo = async (origin: string, upstream: object = {}) => {
  const recent = createRecentRequests(() => Date.now());
  const metrics = createMetrics({ name: 'gateway', version: '0' });
  const gateway = await startGateway({
    table: {
      upstreams: { u: { addresses: [origin], ...upstream } },
      routes: [{ path: '/a', upstream: 'u', access: 'public', methods: ['GET'] }],
    },
    measureWith: (table) => createGatewayMetrics({ metrics, table, verifiers: new Map(), recent }),
  });
  const logger = createLogger({ name: 'gateway', version: '0', destination: { write: () => undefined } });
  const admin = createAdminApp({ logger, table: () => gateway.table, metrics, recent });
  return { url: gateway.url, admin: await listenOn(createServer(admin.callback())), origin };
};

describe('the admin port', () => {
  test('counts requests by route, method and status, and never by what a client made up', async () => {
    const { url, admin } = await start();
    await fetch(`${url}/a/1`);
    await fetch(`${url}/a/2`);
    await fetch(`${url}/a`, { method: 'POST', body: 'x' });
    await fetch(`${url}/made-up-path`);
    const text = await (await fetch(`${admin}/metrics`)).text();
    expect(text).toMatch(
      /http_server_request_duration_seconds_count\{http_request_method="GET",http_route="\/a",http_response_status_code="200"\} 2/,
    );
    expect(text).toContain('http_server_problems_total{http_route="/a",code="method_not_allowed"} 1');
    expect(text).toMatch(/gateway_upstream_duration_seconds_count\{upstream="u"\} 2/);
    expect(text).toMatch(/gateway_upstream_breaker_open\{upstream="u"\} 0/);
    expect(text).not.toContain('made-up-path');
  });

  test('says where upstreams are and how they do', async () => {
    const { url, admin, origin } = await start();
    await fetch(`${url}/a/1`);
    expect(await (await fetch(`${admin}/status`)).json()).toMatchObject({
      upstreams: [{ name: 'u', breaker: 'closed', inFlight: 0, endpoints: [{ origin, state: 'available' }] }],
      routes: [{ path: '/a', access: 'public' }],
    });
  });

  test('counts what goes wrong on the way to an upstream: ejections, retries, and those without a budget', async () => {
    const gone = createServer();
    const origin = await listenOn(gone);
    gone.close();
    const { url, admin } = await startTo(origin, { failures: 1, ejectMs: 1, retryBudget: 0 });
    await fetch(`${url}/a`);
    const text = await (await fetch(`${admin}/metrics`)).text();
    expect(text).toContain(`gateway_upstream_ejections_total{upstream="u",address="${origin}"} 1`);
    expect(text).toContain('gateway_upstream_retries_total{upstream="u"} 0');
    expect(text).toContain('gateway_upstream_retries_refused_total{upstream="u"} 1');
    expect(text).toContain('http_server_problems_total{http_route="/a",code="upstream_unreachable"} 1');
  });

  test('an answer that broke off is an error, whatever its status', async () => {
    const origin = await startUpstream((request, response) => {
      response.writeHead(200, { 'Content-Length': 10 });
      response.write('half', () => request.socket.destroy());
    });
    const { url, admin } = await startTo(origin);
    const response = await fetch(`${url}/a`);
    await expect(response.text()).rejects.toThrow();
    expect(await (await fetch(admin)).text()).toContain('/a upstream_broke_off: 1');
  });

  test('draws the last two minutes, without a script', async () => {
    const { url, admin } = await start();
    await fetch(`${url}/a/1`);
    await fetch(`${url}/nothing`);
    const response = await fetch(admin);
    const page = await response.text();
    expect(response.headers.get('content-security-policy')).toMatch(/^default-src 'none'/);
    expect(page.match(/<svg /g)).toHaveLength(3);
    expect(page).not.toContain('<script');
    expect(page).toMatch(/<text [^>]*>none 404: 1<\/text><rect /);
  });

  test('is read only, and is not read through a name that a page elsewhere made up', async () => {
    const { admin } = await start();
    expect((await fetch(`${admin}/metrics`, { method: 'POST' })).status).toBe(404);
    const socket = connect(Number(new URL(admin).port), '127.0.0.1');
    socket.end('GET /status HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n');
    let text = '';
    for await (const chunk of socket) text += String(chunk);
    expect(text).toMatch(/^HTTP\/1\.1 403 /);
  });
});
