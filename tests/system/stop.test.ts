import { expect, test } from '@jest/globals';
import { startOtlpReceiver } from './otlp-receiver.ts';
import { startTestSystem } from './test-system.ts';

const services = ['gateway', 'caller-api', 'records-api', 'local-entra'];

/** Says when a process ends because nothing holds it, and not because it was told to. */
const lastWords = 'nothing is left to do';
const watchEnd = `process.once('beforeExit', () => console.log('{"msg":"${lastWords}"}'))`;

test('every service that stops closes all that it opened', async () => {
  using collector = await startOtlpReceiver();
  const env = {
    NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(watchEnd)}`,
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
  };
  const metrics = { ...env, METRICS_PORT: '0', METRICS_HOST: '127.0.0.1' };
  await using system = await startTestSystem({
    settings: { gateway: env, 'caller-api': metrics, 'records-api': metrics, 'local-entra': env },
  });
  const page = await system.fetch(`${system.gatewayUrl}/caller/records`);
  expect(await page.json()).toHaveLength(10);
  for (const { record } of system.lines.filter((line) => line.record?.['msg'] === 'operator port open')) {
    const metricsPage = await system.fetch(`http://127.0.0.1:${String(record?.['server.port'])}/metrics`);
    await metricsPage.text();
  }
  expect(await system.stop()).toEqual([]);
  const saidBy = (name: string): unknown[] =>
    system.lines.flatMap(({ service, record }) => (service === name ? [record?.['msg']] : []));
  for (const name of services) {
    expect([name, ...saidBy(name)]).toContain(lastWords);
    expect([name, saidBy(name).findLast((message) => message !== lastWords)]).toEqual([name, 'stopped']);
  }
  expect(new Set(collector.spans.map(({ service }) => service))).toEqual(new Set(services));
});
