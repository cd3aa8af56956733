import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { startLocalEntra, type LocalEntra } from '@countersign/local-entra';
import { postForm } from './https-client.ts';

const tenant = 'abab0000-0000-4000-8000-000000000001';
const clientId = 'abab0000-0000-4000-8000-000000000002';
const origin = 'https://entra.test:9';
const issuer = `${origin}/${tenant}/v2.0`;
const audience = 'api://AzureADTokenExchange';

let entra: LocalEntra;
let address: Pick<LocalEntra, 'ca' | 'origin'>;
beforeAll(async () => {
  const applications = [
    { name: 'api', identifierUris: ['api://api'], requestedAccessTokenVersion: 2 as const },
    {
      name: 'client',
      appId: clientId,
      federatedCredentials: [{ name: 'machine', issuer, subject: 'machine' }],
    },
  ];
  const seed = { tenants: [{ id: tenant, displayName: 'Own', applications }] };
  // The public origin is one that this machine does not resolve: nobody may try to fetch the keys from there.
  entra = await startLocalEntra({ seed, origin, managedIdentity: { port: 0 } });
  address = { ca: entra.ca, origin: `https://localhost:${entra.port}` };
});
afterAll(() => entra.close());

const exchange = async (claims: Record<string, unknown>) => {
  const assertion = await entra.forge({ claims: { iss: issuer, sub: 'machine', aud: audience, ...claims } });
  return postForm(address, `/${tenant}/oauth2/v2.0/token`, {
    grant_type: 'client_credentials',
    client_id: clientId,
    client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    client_assertion: assertion,
    scope: 'api://api/.default',
  });
};

test('a token of this Entra itself, such as a managed identity has, can stand for an application', async () => {
  const { decodeJwt } = await import('jose');
  const { status, body } = await exchange({});
  expect(status).toBe(200);
  expect(decodeJwt(String(body['access_token']))).toMatchObject({ azp: clientId, azpacr: '2', iss: issuer });
});

test('only for the subject that is trusted', async () => {
  expect((await exchange({ sub: 'other' })).body['error_codes']).toEqual([700213]);
});
