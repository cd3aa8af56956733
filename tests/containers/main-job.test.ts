import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { DockerComposeEnvironment, type StartedDockerComposeEnvironment } from 'testcontainers';
import type { LogLine } from '@countersign/cli';
import { checkLines } from '../system/test-system.ts';

jest.setTimeout(600_000);

const repository = fileURLToPath(new URL('../..', import.meta.url));
const services = ['local-entra', 'records-api', 'caller-api', 'gateway'] as const;

/** local-entra's origin holds its port, so that it has to be known before anything starts. */
const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
};

let environment: StartedDockerComposeEnvironment;
let gatewayUrl = '';

beforeAll(async () => {
  // By the command itself: its output is the only thing that explains a build that fails.
  const build = spawnSync('docker', ['compose', 'build'], { cwd: repository, stdio: 'inherit' });
  if (build.status !== 0) throw new Error(`docker compose build failed with exit code ${build.status}`);
  environment = await new DockerComposeEnvironment(repository, 'docker-compose.yml')
    .withProjectName(`countersign-test-${randomUUID().slice(0, 8)}`)
    .withEnvironment({ GATEWAY_PORT: '0', ENTRA_PORT: String(await freePort()) })
    .up();
  gatewayUrl = `http://localhost:${environment.getContainer('gateway-1').getMappedPort(8080)}`;
});

afterAll(() => environment?.down({ removeVolumes: true }));

/** What a service has logged, up to its completion record of a request. */
const logOf = async (service: string, requestId: string): Promise<string[]> => {
  const stream = await environment.getContainer(`${service}-1`).logs();
  const lines: string[] = [];
  let rest = '';
  for await (const chunk of stream) {
    const parts = (rest + String(chunk)).split('\n');
    rest = parts.pop() ?? '';
    lines.push(...parts);
    if (lines.some((line) => line.includes('"request completed"') && line.includes(requestId))) break;
  }
  return lines.filter((line) => line !== '');
};

const secrets = async (): Promise<string[]> => {
  const { output } = await environment
    .getContainer('local-entra-1')
    .exec(['sh', '-c', 'cd /secrets && for f in *; do cat "$f"; echo; done']);
  return output.trim().split('\n');
};

describe('docker compose up', () => {
  const requestId = 'containers-main-job';

  test('the page at the published port shows the ten records', async () => {
    const response = await fetch(`${gatewayUrl}/caller/records`, {
      headers: { accept: 'text/html', 'x-request-id': requestId },
    });
    expect(response.status).toBe(200);
    const names = [...(await response.text()).matchAll(/<th scope="row">(.*?)<\/th>/g)].map(
      ([, name]) => name,
    );
    expect(names).toEqual(Array.from({ length: 10 }, (_, index) => `Record ${index + 1}`));
  });

  test('the protected API refuses whoever brings no token', async () => {
    const response = await fetch(`${gatewayUrl}/api/records`);
    expect(response.status).toBe(401);
    expect(response.headers.get('www-authenticate')).toBe('Bearer');
    expect(await response.json()).toMatchObject({ code: 'missing_token' });
  });

  test('every line of every log is a JSON object without a token, and one trace joins the services', async () => {
    const traces = new Map<string, unknown>();
    const lines: LogLine[] = [];
    for (const service of services) {
      for (const line of await logOf(service, requestId)) {
        const record = JSON.parse(line) as Record<string, unknown>;
        lines.push({ service, text: line, record });
        expect(record['service.name']).toBe(service);
        if (record['request_id'] === requestId) traces.set(service, record['trace_id']);
      }
    }
    checkLines(lines, await secrets());
    expect([...traces.keys()]).toEqual([...services]);
    expect(new Set(traces.values()).size).toBe(1);
  });

  test('caller-api sees its own secret and no other', async () => {
    const { output } = await environment.getContainer('caller-api-1').exec(['cat', '/run/client-secret']);
    const all = await secrets();
    expect(all).toContain(output.trim());
    expect(all.length).toBeGreaterThan(1);
    const listing = await environment.getContainer('caller-api-1').exec(['ls', '-A', '/secrets']);
    expect(listing.output).toBe('');
  });

  test.each(services)('%s runs as user 10001', async (service) => {
    const { output } = await environment.getContainer(`${service}-1`).exec(['id', '-u']);
    expect(output.trim()).toBe('10001');
  });
});
