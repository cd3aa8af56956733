import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Agent, MockAgent } from 'undici';
import { createSecretPlace } from '../../src/provision/secret-place.ts';
import { startTestTenant, type TestTenant } from './test-tenant.ts';

let tenant: TestTenant;
beforeEach(async () => {
  tenant = await startTestTenant();
});
afterEach(() => tenant[Symbol.asyncDispose]());

describe('places for the secret', () => {
  test('a Secret manifest', async () => {
    const file = join(tenant.folder, 'secret.yaml');
    const content = tenant.yaml.replace(
      /writeTo: \{.*?\} \}/,
      `writeTo: { kubernetesSecret: { file: ${JSON.stringify(file)}, name: caller-api, namespace: shop } } }`,
    );
    expect((await tenant.provision('apply', [], content)).code).toBe(0);
    expect(await readFile(file, 'utf8')).toMatch(/kind: Secret[^]*namespace: shop[^]*client-secret: \S{16,}/);
    expect(((await stat(file)).mode & 0o777).toString(8)).toBe('600');
    expect((await tenant.provision('apply', [], content)).stdout).toContain('Nothing to change');
  });

  test('a file that holds something else is left alone', async () => {
    const file = join(tenant.folder, 'all.yaml');
    const content = tenant.yaml.replace(
      /writeTo: \{.*?\} \}/,
      `writeTo: { kubernetesSecret: { file: ${JSON.stringify(file)}, name: caller-api } } }`,
    );
    const mine = 'kind: Secret\nmetadata: { name: caller-api }\n---\nkind: Service\n';
    await writeFile(file, mine);
    for (const command of ['plan', 'apply', 'destroy']) {
      const { code, stderr } = await tenant.provision(command, command === 'plan' ? [] : ['--yes'], content);
      expect([code, stderr]).toEqual([
        1,
        `${file} holds something else than the Secret caller-api: it is left alone.\n`,
      ]);
    }
    expect(await readFile(file, 'utf8')).toBe(mine);
  });

  test('Key Vault', async () => {
    const vault = new MockAgent();
    vault.disableNetConnect();
    const pool = vault.get('https://v.vault.azure.net');
    const path = '/secrets/caller-api?api-version=7.4';
    const put: string[] = [];
    pool.intercept({ path, method: 'GET' }).reply(404, {});
    pool.intercept({ path, method: 'PUT' }).reply(200, ({ body }) => {
      put.push(body as string);
      return {};
    });
    pool.intercept({ path, method: 'GET' }).reply(200, { value: 's', tags: { 'key-id': 'k1' } });
    pool.intercept({ path, method: 'PUT' }).reply(403, { error: { message: 'the-secret is refused' } });
    const place = createSecretPlace(
      { keyVault: { url: 'https://v.vault.azure.net', name: 'caller-api' } },
      { dispatcher: vault as unknown as Agent, vaultToken: async () => 'token' },
    );
    const secret = { text: 'the-secret', keyId: 'k1', endDateTime: '2030-01-01T00:00:00Z' };
    const password = { displayName: null, hint: null, startDateTime: '', endDateTime: '' };
    expect(await place.read()).toBeUndefined();
    await place.write(secret);
    expect(JSON.parse(put[0] as string)).toEqual({
      value: 'the-secret',
      tags: { 'key-id': 'k1' },
      attributes: { exp: 1_893_456_000 },
    });
    const isKept = await place.read();
    expect([isKept?.({ ...password, keyId: 'k1' }), isKept?.({ ...password, keyId: 'k2' })]).toEqual([
      true,
      false,
    ]);
    const refusal = await place.write(secret).catch((error: Error) => error.message);
    expect(refusal).toContain('Key Vault Secrets Officer');
    expect(refusal).not.toContain('the-secret');
    await vault.close();
  });
});
