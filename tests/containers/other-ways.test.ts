/** What compose/provision.yaml and compose/entra.yaml start: the same story with ids that this repository does not know. */
import { randomUUID } from 'node:crypto';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, jest, test } from '@jest/globals';
import { localApplications, localTenantId } from '@countersign/cli';
import { composeIn, docker, startComposedSystem, textOfEnvironment } from './composed-system.ts';
import { startEntraContainer } from './entra-container.ts';
import { freePort } from './free-port.ts';

jest.setTimeout(300_000);

test('compose/provision.yaml: an empty tenant is filled, and all of it works with the ids that it gave', async () => {
  await using system = await startComposedSystem(['compose/provision.yaml']);
  await system.explained(async () => {
    const response = await system.fetch(`${system.gatewayUrl}/caller/records`);
    expect(response.status).toBe(200);
    expect(await response.json()).toHaveLength(10);
    const ids = await system.compose('exec', '-T', 'caller-api', 'cat', '/provisioned/ids.env');
    expect(ids).toMatch(/^AZURE_CLIENT_ID=[\da-f-]{36}$/m);
    for (const known of Object.values(localApplications)) expect(ids).not.toContain(known);
    expect(await system.compose('run', '--rm', 'countersign', 'doctor')).toContain(
      '✓ call through the gateway',
    );
    expect(await system.compose('run', '--rm', 'provision')).toContain('Nothing to change');
  });
});

test('compose/entra.yaml: a tenant elsewhere, with the ids and the file of the secret from .env', async () => {
  await using tenant = await startEntraContainer('entra.example');
  const folder = await mkdtemp(join(tmpdir(), 'countersign-'));
  await chmod(folder, 0o755);
  await writeFile(join(folder, 'ca.pem'), tenant.ca, {
    mode: 0o644,
  });
  const gatewayPort = await freePort();
  const settings = {
    AZURE_AUTHORITY_HOST: 'https://entra.example:8443',
    AZURE_TENANT_ID: localTenantId,
    API_CLIENT_ID: localApplications.api1,
    AZURE_CLIENT_ID: localApplications.api2,
    AZURE_CLIENT_SECRET_FILE: join(folder, 'secret'),
    GATEWAY_PORT: String(gatewayPort),
    SYSTEM_FOLDER: folder,
  };
  const envFile = join(folder, '.env');
  await writeFile(envFile, textOfEnvironment(settings));
  const project = `countersign-test-${randomUUID().slice(0, 8)}`;
  const files = ['docker-compose.yml', 'compose/entra.yaml', 'tests/containers/entra.yaml'];
  const compose = composeIn(project, files, envFile);
  try {
    await expect(compose('up', '--detach')).rejects.toThrow(join(folder, 'secret'));

    await writeFile(join(folder, 'secret'), await tenant.secret('api2'), {
      mode: 0o644,
    });
    await compose('create');
    await docker(
      'network',
      'connect',
      '--alias',
      'entra.example',
      `${project}_services`,
      tenant.container.getId(),
    );
    await compose('up', '--detach', '--wait');
    expect(await compose('ps', '--services')).not.toContain('local-entra');
    const response = await fetch(`http://localhost:${gatewayPort}/caller/records`);
    expect(response.status).toBe(200);
    expect(await response.json()).toHaveLength(10);
    expect(await compose('run', '--rm', 'countersign', 'doctor')).toContain('✓ call through the gateway');
  } finally {
    await docker('network', 'disconnect', '--force', `${project}_services`, tenant.container.getId()).catch(
      () => undefined,
    );
    await compose('down', '--volumes', '--timeout', '1');
    await rm(folder, { recursive: true });
  }
});
