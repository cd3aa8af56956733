import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { startLocalEntra, type LocalEntra } from '@countersign/local-entra';
import { tokenVersionOf } from '../src/directory/token-version.ts';
import { postForm, send } from './https-client.ts';

const tenant = 'eeee0000-0000-4000-8000-000000000001';
const clientId = 'eeee0000-0000-4000-8000-000000000002';
const identityId = 'eeee0000-0000-4000-8000-000000000003';

let entra: LocalEntra;
beforeAll(async () => {
  const admin = { resource: 'microsoft-graph', role: 'Application.ReadWrite.All' };
  entra = await startLocalEntra({
    managedIdentity: { port: 0 },
    seed: {
      tenants: [
        {
          id: tenant,
          displayName: 'Off',
          applications: [
            { name: 'client', appId: clientId, generatedSecret: true, grantedRoles: [admin] },
            { name: 'api', identifierUris: ['api://api'] },
          ],
          managedIdentities: [
            { name: 'machine', clientId: identityId, systemAssigned: true, grantedRoles: [admin] },
          ],
        },
      ],
    },
  });
});
afterAll(() => entra.close());

const identityToken = async () => {
  const query = 'api-version=2018-02-01&resource=api://api';
  const address = `${entra.managedIdentity?.address}/metadata/identity/oauth2/token?${query}`;
  const response = await fetch(address, { headers: { metadata: 'true' } });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
};
const ask = (form: Record<string, string>) =>
  postForm(entra, `/${tenant}/oauth2/v2.0/token`, {
    grant_type: 'client_credentials',
    client_id: clientId,
    scope: 'api://api/.default',
    ...form,
  });

describe('switched off', () => {
  test('a managed identity gets no token', async () => {
    expect((await identityToken()).status).toBe(200);
    const token = await entra.forge({ client: clientId, roles: ['Application.ReadWrite.All'] });
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    const path = `/v1.0/servicePrincipals(appId='${identityId}')`;
    const change = JSON.stringify({ accountEnabled: false });
    expect((await send(entra, path, { method: 'PATCH', headers }, change)).status).toBe(204);
    const refused = await identityToken();
    expect(refused.status).toBe(400);
    expect(refused.body['error_description']).toContain('AADSTS7000112');
  });
});

test('an assertion without its type is a parameter that is missing', async () => {
  const { status, body } = await ask({ client_assertion: 'e30.e30.AA' });
  expect(status).toBe(400);
  expect(body['error_codes']).toEqual([900144]);
  expect(body['error_description']).toContain("parameter: 'client_assertion_type'");
});

test.each([
  [null, 'AzureADMyOrg', 1],
  [null, 'AzureADMultipleOrgs', 1],
  [null, 'AzureADandPersonalMicrosoftAccount', 2],
  [null, 'PersonalMicrosoftAccount', 2],
  [1, 'PersonalMicrosoftAccount', 1],
  [2, 'AzureADMyOrg', 2],
] as const)('a registration of %p for %s gets tokens of version %d', (asked, signInAudience, version) => {
  expect(tokenVersionOf({ requestedAccessTokenVersion: asked, signInAudience })).toBe(version);
});
