import { expect, test } from '@jest/globals';
import { startTestSystem } from './test-system.ts';

const services = ['gateway', 'caller-api', 'records-api', 'local-entra'];

/** Says when a process ends because nothing holds it, and not because it was told to. */
const watchEnd = `process.once('beforeExit', () => console.log('{"msg":"nothing is left to do"}'))`;

test('every service that stops closes all that it opened', async () => {
  const env = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(watchEnd)}` };
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
});
