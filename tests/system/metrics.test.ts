import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createMetrics } from '@countersign/service-kit/metrics';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { createObservation } from '../../services/records-api/src/observation.ts';
import { openPostgres } from '../../services/records-api/src/store/postgres.ts';
import { namesInPromql } from './promql.ts';
import { startTestSystem, type TestSystem } from './test-system.ts';

const read = (name: string): string =>
  readFileSync(new URL(`../../observability/${name}`, import.meta.url), 'utf8');

interface Dashboard {
  panels: { title: string; targets?: { expr: string }[] }[];
}
interface Rules {
  groups: { rules: { alert: string; expr: string; annotations: { summary: string } }[] }[];
}
const dashboard = JSON.parse(read('dashboard.json')) as Dashboard;
const rules = (parse(read('alerts.yaml')) as Rules).groups.flatMap((group) => group.rules);
const panelQueries = dashboard.panels.flatMap(({ title, targets = [] }) =>
  targets.map(({ expr }) => [title, expr] as const),
);

/** Labels by metric; a metric without a value has none. */
const readSamples = (text: string): Map<string, Set<string>> => {
  const samples = new Map<string, Set<string>>();
  for (const [, name = '', type] of text.matchAll(/^# TYPE (\S+) (\w+)$/gm)) {
    if (type !== 'histogram') samples.set(name, new Set());
    else for (const suffix of ['_bucket', '_sum', '_count']) samples.set(name + suffix, new Set());
  }
  for (const [, name = '', labels = ''] of text.matchAll(/^([a-z_]\w*)(?:\{(.*)\})? \S+$/gm)) {
    const known = samples.get(name) ?? new Set();
    for (const [, label = ''] of labels.matchAll(/([a-z_]\w*)="/g)) known.add(label);
    samples.set(name, known);
  }
  return samples;
};

const services = ['gateway', 'records-api', 'caller-api'];

describe('metrics of a running system', () => {
  let system: TestSystem;
  const texts = new Map<string, string>();
  const all = new Map<string, Set<string>>();
  let folder = '';

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'metrics-'));
    const routes = join(folder, 'routes.yaml');
    const table = readFileSync(new URL('../../gateway/routes.yaml', import.meta.url), 'utf8');
    const gone = "  gone: { addresses: ['http://127.0.0.1:1'] }";
    await writeFile(
      routes,
      `${table.replace('upstreams:', `upstreams:\n${gone}`)}\n  - { path: /gone, upstream: gone, access: public }\n`,
    );
    system = await startTestSystem({
      settings: {
        'records-api': { METRICS_PORT: '0' },
        'caller-api': { METRICS_PORT: '0' },
        gateway: { ROUTES_FILE: routes },
      },
    });
    // So that every counter has counted.
    const { stdout } = system.service('gateway').child;
    const refused = new Promise<void>((resolve) => {
      stdout?.on('data', (chunk: Buffer) => {
        if (chunk.includes('the old one stays')) resolve();
      });
    });
    await writeFile(routes, 'routes: none');
    await refused;
    const { hostname, port } = new URL(system.gatewayUrl);
    const unreadable = connect(Number(port), hostname).end('nonsense\r\n\r\n');
    await once(unreadable.resume(), 'close');
    for (const path of ['/caller/records', '/caller/records', '/api/records', '/gone', '/nothing']) {
      const { headers } = await system.fetch(system.gatewayUrl + path);
      await system.completionRecords(String(headers.get('x-request-id')), ['gateway']);
    }
    const unsigned = await system.fetch(`${system.recordsApiUrl}/api/records`);
    await system.completionRecords(String(unsigned.headers.get('x-request-id')), ['records-api']);
    for (const service of services) {
      const line = system.lines.find(
        ({ service: name, record }) => name === service && record?.['msg'] === 'operator port open',
      );
      const response = await system.fetch(
        `http://127.0.0.1:${String(line?.record?.['server.port'])}/metrics`,
      );
      const text = await response.text();
      texts.set(service, text);
      for (const [name, labels] of readSamples(text)) {
        all.set(name, new Set([...(all.get(name) ?? []), ...labels]));
      }
    }
    // The pool of connections, which SQLite has none of. Nothing is connected to.
    const metrics = createMetrics({ name: 'records-api', version: '0' });
    const address = { host: '127.0.0.1', port: 1, database: 'records', user: 'records', tls: 'off' } as const;
    const limits = { poolSize: 7, statementTimeoutMs: 1, onConnectionError: () => undefined };
    const password = async (): Promise<string> => '';
    createObservation(metrics, openPostgres({ ...address, ...limits, password }));
    for (const [name, labels] of readSamples(await metrics.text('prometheus'))) {
      if (name.startsWith('db_client_connection')) all.set(name, labels);
    }
  });

  afterAll(async () => {
    await system[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });

  test.each([
    ['gateway', /^http_server_request_duration_seconds_count\{.*http_route="\/caller".*"200"\} 2$/m],
    ['gateway', /^http_server_problems_total\{http_route="\/api\/records",code="missing_token"\} 1$/m],
    ['gateway', /^auth_keys_age_seconds\{api="records-api"\} [\d.e-]+$/m],
    ['gateway', /^gateway_upstream_breaker_open\{upstream="records-api"\} 0$/m],
    [
      'gateway',
      /^gateway_upstream_duration_seconds_count\{upstream="caller-api",http_route="\/caller"\} 2$/m,
    ],
    [
      'gateway',
      /^gateway_upstream_failures_total\{upstream="gone",http_route="\/gone",cause="connect"\} 1$/m,
    ],
    ['gateway', /^gateway_connections_refused_total\{cause="invalid_request"\} 1$/m],
    ['caller-api', /^http_server_request_duration_seconds_count\{.*http_route="\/caller\/records".*\} 2$/m],
    ['caller-api', /^auth_token_requests_total\{outcome="miss"\} 1$/m],
    ['caller-api', /^auth_token_acquisition_duration_seconds_count\{reason="cold",outcome="ok"\} 1$/m],
    ['caller-api', /^http_client_request_duration_seconds_count\{api="records-api",.*"GET",.*"200"\} 2$/m],
    ['caller-api', /^http_client_circuit_open\{api="records-api"\} 0$/m],
    [
      'records-api',
      /^http_server_request_duration_seconds_count\{.*"GET",http_route="\/api\/records",.*"200"\} 2$/m,
    ],
    ['records-api', /^http_server_problems_total\{http_route="\/api\/records",code="missing_token"\} 1$/m],
    ['records-api', /^auth_verifications_total\{api="records-api",outcome="hit"\} 1$/m],
    ['records-api', /^auth_verifications_total\{api="records-api",outcome="miss"\} 1$/m],
    ['records-api', /^auth_verified_tokens\{api="records-api"\} 1$/m],
    ['records-api', /^auth_key_fetch_duration_seconds_count\{outcome="ok"\} 1$/m],
    ['records-api', /^db_client_operation_duration_seconds_count\{db_operation_name="list"\} 2$/m],
  ])('%s counts %s', (service, sample) => {
    expect(texts.get(service)).toMatch(sample);
  });

  test.each(services)('%s says what it is, and how its process does', (service) => {
    const text = texts.get(service);
    expect(text).toMatch(
      new RegExp(`^service_info\\{service_name="${service}",service_version="[^"]+"\\} 1$`, 'm'),
    );
    expect(text).toMatch(/^nodejs_eventloop_lag_p99_seconds /m);
    expect(text).toMatch(/^process_resident_memory_bytes /m);
  });

  test.each([...rules.map(({ alert, expr }) => [alert, expr] as const), ...panelQueries])(
    'of the alert or panel %s, every metric and label exists: %s',
    (_, expression) => {
      const { metrics, labels } = namesInPromql(expression);
      expect(metrics.length).toBeGreaterThan(0);
      // `up` is Prometheus' own.
      const names = metrics.filter((name) => name !== 'up');
      expect(names.filter((name) => !all.has(name))).toEqual([]);
      const known = new Set(names.flatMap((name) => [...(all.get(name) ?? [])]));
      expect(labels.filter((name) => !known.has(name))).toEqual([]);
    },
  );

  test('steps are logged where the work is done', async () => {
    const requestId = 'a-request-with-steps';
    const { status } = await system.fetch(`${system.gatewayUrl}/caller/records`, {
      headers: { 'x-request-id': requestId },
    });
    expect(status).toBe(200);
    const records = await system.completionRecords(requestId, services);
    const steps = records.find((record) => record['service.name'] === 'records-api')?.['steps'];
    expect(steps).toEqual([
      { name: 'verify', at_ms: expect.any(Number), duration_ms: expect.any(Number), outcome: 'hit' },
      { name: 'sql', at_ms: expect.any(Number), duration_ms: expect.any(Number) },
    ]);
  });
});

describe('alerts', () => {
  test.each(rules.filter(({ expr }) => expr.includes('by (')))(
    '$alert speaks of labels that its expression keeps',
    ({ expr, annotations }) => {
      const said = [...annotations.summary.matchAll(/\$labels\.(\w+)/g)].map(([, name]) => name as string);
      const kept = /\bby \(([^)]*)\)/.exec(expr)?.[1]?.split(', ') ?? [];
      expect(said.filter((name) => !kept.includes(name))).toEqual([]);
    },
  );
});

describe('names in PromQL', () => {
  test('are metrics and labels, and no functions, words, values or times', () => {
    const expression =
      'histogram_quantile(0.9, sum by (job, le) (rate(a_bucket{x=~"b.*{}", job="c"}[5m]))) > 1 and on (y) d_total > 3 * 36';
    expect(namesInPromql(expression)).toEqual({ metrics: ['a_bucket', 'd_total'], labels: ['x', 'le', 'y'] });
  });
});
