import { request } from 'node:https';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createLogger } from '@countersign/service-kit';
import { startLocalEntra, type LocalEntra } from '@countersign/local-entra';
import { postForm, send } from './https-client.ts';

const tenant = 'fcfc0000-0000-4000-8000-000000000001';
const clientId = 'fcfc0000-0000-4000-8000-000000000002';
const pasted = 'abc8Q~0123456789012345678901234567890123';

let entra: LocalEntra;
let token: string;
let lines: string[];
beforeAll(async () => {
  lines = [];
  const grantedRoles = [{ resource: 'microsoft-graph', role: 'Application.ReadWrite.All' }];
  const applications = [{ name: 'admin', appId: clientId, generatedSecret: true, grantedRoles }];
  const logger = createLogger({
    name: 'test',
    version: '0',
    destination: { write: (line) => void lines.push(line) },
  });
  entra = await startLocalEntra({
    seed: { tenants: [{ id: tenant, displayName: 'Log', applications }] },
    logger,
    managedIdentity: { port: 0 },
  });
  const { body } = await postForm(entra, `/${tenant}/oauth2/v2.0/token`, {
    grant_type: 'client_credentials',
    client_id: clientId,
    client_secret: entra.secrets['admin'] ?? '',
    scope: 'https://graph.microsoft.com/.default',
  });
  token = String(body['access_token']);
});
afterAll(() => entra.close());

const call = (method: string, path: string, body?: object) => {
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  return send(entra, `/v1.0/${path}`, { method, headers }, body && JSON.stringify(body));
};

/** Looks again after each turn of the event loop; the test's own time limit bounds it. */
const until = async (condition: () => boolean): Promise<void> => {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
};

test('what is pasted into Graph, the token endpoint and managed identity is not logged', async () => {
  for (const text of [pasted, token]) {
    await call('GET', `applications/${text}`);
    await call('GET', `applications(${text}='x')`);
    await call('GET', `applications?$filter=${text}%20eq%20'x'`);
    await call('GET', text);
    await call('POST', 'applications', { displayName: 'x', [text]: 1 });
    await call('POST', 'servicePrincipals', { appId: text });
    const form = { grant_type: 'client_credentials', client_secret: 'x', scope: text };
    await postForm(entra, `/${tenant}/oauth2/v2.0/token`, { ...form, client_id: text });
    await postForm(entra, `/${tenant}/oauth2/v2.0/token`, { ...form, client_id: clientId });
    await postForm(entra, `/${text}/oauth2/v2.0/token`, { ...form, client_id: clientId });
    for (const name of ['resource', 'client_id', text]) {
      const query = `api-version=2018-02-01&${name}=${text}&${name}=${text}`;
      await fetch(`${entra.managedIdentity?.address}/metadata/identity/oauth2/token?${query}`, {
        headers: { metadata: 'true' },
      });
    }
  }
  await until(() => lines.filter((line) => line.includes('"duration_ms"')).length >= 24);
  const logged = lines.join('') + JSON.stringify(entra.requests.list());
  expect(entra.requests.list().length).toBeGreaterThan(20);
  expect(logged).toContain('[token]');
  expect([token.slice(0, 40), pasted].filter((text) => logged.includes(text))).toEqual([]);
});

test('an upload that breaks off is not an error of ours', async () => {
  lines = [];
  const outgoing = request(`${entra.origin}/v1.0/applications`, {
    method: 'POST',
    agent: false,
    ca: entra.ca,
    headers: { authorization: `Bearer ${token}`, 'content-length': '100' },
  });
  outgoing.on('error', () => undefined);
  await new Promise((resolve) => outgoing.write('{', resolve));
  outgoing.destroy();
  await until(() => lines.join('').includes('request aborted'));
  expect(lines.filter((line) => line.includes('"level":"error"'))).toEqual([]);
});
