import { expect, test } from '@jest/globals';
import { startOtlpReceiver } from './otlp-receiver.ts';
import { startTestSystem } from './test-system.ts';

const services = ['gateway', 'caller-api', 'records-api', 'local-entra'];

/** Says when a process ends because nothing holds it, and not because it was told to. */
const watchEnd = `process.once('beforeExit', () => console.log('{"msg":"nothing is left to do"}'))`;

test('every service that stops closes all that it opened', async () => {
  const collector = await startOtlpReceiver();
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
  const ended = system.lines.filter(({ record }) => record?.['msg'] === 'nothing is left to do');
  expect(ended.map(({ service }) => service)).toEqual(services);
  collector.close();
  expect(new Set(collector.spans.map(({ service }) => service))).toEqual(new Set(services));
  expect(system.lines.map(({ record }) => record?.['msg'])).not.toContain('spans are lost');
});
