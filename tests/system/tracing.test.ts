import { rm } from 'node:fs/promises';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type OtlpReceiver, type ReceivedSpan, startOtlpReceiver } from './otlp-receiver.ts';
import { type LogRecord, startTestSystem, type TestSystem } from './test-system.ts';

const services = ['gateway', 'caller-api', 'records-api', 'local-entra'];
const preload = pathToFileURL(new URL('log-loaded-modules.ts', import.meta.url).pathname).href;
const settings = Object.fromEntries(
  services.map((name) => [name, { NODE_OPTIONS: `--import=${preload}` }] as const),
);

const loadedBy = ({ lines }: TestSystem, service: string): unknown =>
  lines.find((line) => line.service === service && line.record?.['msg'] === 'loaded')?.record?.['packages'];

describe('with OTEL_EXPORTER_OTLP_ENDPOINT', () => {
  const requestId = 'a-request-that-is-traced';
  const parent = '00f067aa0ba902b7';
  const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
  let receiver: OtlpReceiver;
  let system: TestSystem;
  let records: readonly LogRecord[];
  let spans: readonly ReceivedSpan[];

  beforeAll(async () => {
    receiver = await startOtlpReceiver();
    system = await startTestSystem({ settings, env: { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url } });
    const ask = (id: string, traceparent: string) =>
      system.fetch(`${system.gatewayUrl}/caller/records`, {
        headers: { accept: 'application/json', 'x-request-id': id, traceparent },
      });
    await (await ask(requestId, `00-${traceId}-${parent}-01`)).text();
    await (await ask('not-sampled', `00-${'1'.repeat(32)}-${parent}-00`)).text();
    records = await system.completionRecords(requestId, services);
    // Whoever stops sends what is left.
    await system.stop();
    spans = receiver.spans.filter((span) => span.traceId === traceId);
  });

  afterAll(async () => {
    receiver[Symbol.dispose]();
    await rm(system.dataFolder, { recursive: true });
  });

  const serverSpans = () => spans.filter(({ kind }) => kind === 2);
  const of = (service: string): ReceivedSpan =>
    serverSpans().find((span) => span.service === service) as ReceivedSpan;

  test('the spans of one request are one tree through all services, below the span that called', () => {
    const ids = new Set(spans.map(({ spanId }) => spanId));
    expect(ids.size).toBe(spans.length);
    expect(of('gateway').parentSpanId).toBe(parent);
    expect(of('caller-api').parentSpanId).toBe(of('gateway').spanId);
    expect(of('records-api').parentSpanId).toBe(of('caller-api').spanId);
    expect(of('local-entra').parentSpanId).toBe(of('caller-api').spanId);
    for (const { spanId, parentSpanId } of spans) {
      expect(spanId === of('gateway').spanId || ids.has(parentSpanId)).toBe(true);
    }
  });

  test('each has the ids, the time and the route of its completion record', () => {
    expect(serverSpans()).toHaveLength(records.length);
    for (const record of records) {
      const span = serverSpans().find(({ spanId }) => spanId === record['span_id']);
      expect(span?.service).toBe(record['service.name']);
      expect(span?.parentSpanId).toBe(record['parent_span_id']);
      expect(span?.attributes['request_id']).toBe(requestId);
      expect(span?.attributes['http.route']).toBe(record['http.route']);
      expect(span?.attributes['http.response.status_code']).toBe(record['http.response.status_code']);
      expect(Math.abs((span?.startMs ?? 0) - Date.parse(String(record['start'])))).toBeLessThan(50);
      expect((span?.endMs ?? 0) - (span?.startMs ?? 0)).toBeCloseTo(record['duration_ms'] as number, 1);
    }
  });

  test('the steps of a request are spans inside its own', () => {
    const steps = spans.filter(({ kind }) => kind === 1);
    const namesIn = (service: string): string[] =>
      steps.filter(({ parentSpanId }) => parentSpanId === of(service).spanId).map(({ name }) => name);
    expect(namesIn('caller-api')).toEqual(['token', 'entra', 'call']);
    expect(namesIn('records-api').toSorted()).toEqual(expect.arrayContaining(['sql', 'verify']));
    for (const { parentSpanId, startMs, endMs } of steps) {
      const around = spans.find(({ spanId }) => spanId === parentSpanId);
      expect(startMs).toBeGreaterThanOrEqual((around?.startMs ?? Infinity) - 1);
      expect(endMs).toBeLessThanOrEqual((around?.endMs ?? 0) + 1);
    }
  });

  test('a trace that its caller does not record is not exported', () => {
    expect(receiver.spans.map((span) => span.traceId)).not.toContain('1'.repeat(32));
  });

  test.each(services)('%s has loaded the SDK', (service) => {
    expect(loadedBy(system, service)).toContain('@opentelemetry/sdk-trace');
  });
});

describe('without it', () => {
  let system: TestSystem;

  beforeAll(async () => {
    system = await startTestSystem({ settings });
    await (await system.fetch(`${system.gatewayUrl}/caller/records`)).text();
    await system.stop();
  });

  afterAll(() => rm(system.dataFolder, { recursive: true }));

  test.each([
    ['local-entra', []],
    // prom-client asks for the interfaces of OpenTelemetry, behind which there is nothing.
    ['gateway', ['@opentelemetry/api']],
    ['records-api', ['@opentelemetry/api']],
    ['caller-api', ['@opentelemetry/api']],
  ])('%s loads nothing of OpenTelemetry but what prom-client does', (service, packages) => {
    expect(loadedBy(system, service)).toEqual(packages);
  });
});

test('a collector that cannot be reached is told of once, and costs no request', async () => {
  const system = await startTestSystem({ env: { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1' } });
  const response = await system.fetch(`${system.gatewayUrl}/caller/records`);
  expect(response.status).toBe(200);
  expect(await system.stop()).toEqual([]);
  await rm(system.dataFolder, { recursive: true });
  const warnings = system.lines.filter(({ text }) => text.includes('spans are lost'));
  expect(warnings.map(({ service }) => service).toSorted()).toEqual(services.toSorted());
});
