/** records-api on SQLite, and its disk full while it is read and written. */
import { expect, jest, test } from '@jest/globals';
import { localApplications, localTenantId } from '@countersign/cli';
import { GenericContainer, Network, Wait } from 'testcontainers';
import { Agent, fetch } from 'undici';
import { startEntraContainer, takeTokenFrom } from './entra-container.ts';
import { countStatuses, startLoad } from './load.ts';

jest.setTimeout(200_000);

test('reads go on, writes are 503 with Retry-After, and both work once there is room', async () => {
  await using network = await new Network().start();
  await using entra = await startEntraContainer('local-entra', network);
  await using records = await new GenericContainer('countersign/records-api')
    .withNetwork(network)
    .withExposedPorts(8081)
    .withTmpFs({ '/small': 'size=4m,uid=10001,gid=10001' })
    .withCopyContentToContainer([{ content: entra.ca, target: '/public/ca.pem', mode: 0o644 }])
    .withEnvironment({
      PORT: '8081',
      AZURE_AUTHORITY_HOST: 'https://local-entra:8443',
      AZURE_TENANT_ID: localTenantId,
      API_CLIENT_ID: localApplications.api1,
      CA_FILE: '/public/ca.pem',
      DATA_FOLDER: '/small',
      HEALTHCHECK_URL: 'http://127.0.0.1:8081/readyz',
    })
    .withCommand(['sh', '-c', 'node dist/migrate.js && exec node dist/main.js'])
    .withWaitStrategy(Wait.forHealthCheck())
    .start();

  const dispatcher = new Agent({ connect: { ca: entra.ca } });
  const token = await takeTokenFrom(
    `https://localhost:${entra.container.getMappedPort(8443)}`,
    'api2',
    await entra.secret('api2'),
    (address, init) => fetch(address, { ...init, dispatcher }),
  );
  const url = `http://localhost:${records.getMappedPort(8081)}/api/records`;
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  const body = JSON.stringify({ name: 'n', description: 'd'.repeat(900), date: '2026-01-01T00:00:00Z' });
  const retryAfters = new Set<boolean>();
  const reads = startLoad(20, async () => {
    const response = await fetch(url, { headers, dispatcher });
    await response.arrayBuffer();
    return response.status;
  });
  const writes = startLoad(20, async () => {
    const response = await fetch(url, { method: 'POST', headers, body, dispatcher });
    await response.arrayBuffer();
    if (response.status === 503) retryAfters.add(Number(response.headers.get('retry-after')) > 0);
    return response.status;
  });
  try {
    await Promise.all([reads.healed(), writes.healed()]);
    const { output } = await records.exec(['dd', 'if=/dev/zero', 'of=/small/fill', 'bs=4k']);
    expect(output).toContain('No space left on device');
    await writes.more(60);
    expect(writes.answers.at(-1)?.status).toBe(503);
    await records.exec(['rm', '/small/fill']);
    await Promise.all([reads.healed(20, 10_000), writes.healed(20, 10_000)]);
    const [readAnswers, writeAnswers] = [await reads.stop(), await writes.stop()];
    expect(Object.keys(countStatuses(readAnswers))).toEqual(['200']);
    expect(Object.keys(countStatuses(writeAnswers))).toEqual(['201', '503']);
    expect([...retryAfters]).toEqual([true]);
    const { exitCode } = await records.exec([
      'node',
      '--eval',
      `const db = new (require('node:sqlite').DatabaseSync)('/small/records.db', { readOnly: true });
       const { integrity_check } = db.prepare('PRAGMA integrity_check').get();
       process.exit(integrity_check === 'ok' ? 0 : 1);`,
    ]);
    expect(exitCode).toBe(0);
  } finally {
    await Promise.all([reads.stop(), writes.stop()]);
    await dispatcher.destroy();
  }
});
