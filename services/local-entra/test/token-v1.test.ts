import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { startLocalEntra, type LocalEntra } from '@countersign/local-entra';
import { getJson, postForm } from './https-client.ts';

const tenant = 'cccc0000-0000-4000-8000-000000000001';
const clientId = 'cccc0000-0000-4000-8000-000000000002';
const oldApi = 'cccc0000-0000-4000-8000-000000000003';

let entra: LocalEntra;
beforeAll(async () => {
  entra = await startLocalEntra({
    seed: {
      tenants: [
        {
          id: tenant,
          displayName: 'Versions',
          applications: [
            { name: 'old', appId: oldApi, identifierUris: ['api://old'], appRoles: [{ value: 'read' }] },
            {
              name: 'pinned',
              identifierUris: ['api://pinned'],
              optionalClaims: [{ name: 'aud', additionalProperties: ['use_guid'] }],
            },
            { name: 'new', identifierUris: ['api://new'], requestedAccessTokenVersion: 2 },
            {
              name: 'long',
              identifierUris: ['api://long'],
              requestedAccessTokenVersion: 2,
              tokenLifetimeSeconds: 86_400,
            },
            {
              name: 'closed',
              identifierUris: ['api://closed'],
              appRoleAssignmentRequired: true,
            },
            {
              name: 'client',
              appId: clientId,
              generatedSecret: true,
              grantedRoles: [{ resource: 'old', role: 'read' }],
            },
          ],
        },
      ],
    },
  });
});
afterAll(() => entra.close());

const askV1 = (resource: string) =>
  postForm(entra, `/${tenant}/oauth2/token`, {
    grant_type: 'client_credentials',
    client_id: clientId,
    client_secret: entra.secrets['client'] ?? '',
    resource,
  });
const askV2 = (scope: string) =>
  postForm(entra, `/${tenant}/oauth2/v2.0/token`, {
    grant_type: 'client_credentials',
    client_id: clientId,
    client_secret: entra.secrets['client'] ?? '',
    scope,
  });
const decode = async (body: Record<string, unknown>) => {
  const { decodeJwt, decodeProtectedHeader } = await import('jose');
  const token = String(body['access_token']);
  return { claims: decodeJwt(token), header: decodeProtectedHeader(token) };
};

describe('the version 1 endpoint', () => {
  test('answers numbers as strings, and a token of version 1', async () => {
    const { status, body } = await askV1('api://old');
    expect(status).toBe(200);
    expect(body).toEqual({
      token_type: 'Bearer',
      expires_in: expect.stringMatching(/^\d+$/),
      ext_expires_in: expect.stringMatching(/^\d+$/),
      expires_on: expect.stringMatching(/^\d+$/),
      not_before: expect.stringMatching(/^\d+$/),
      resource: 'api://old',
      access_token: expect.any(String),
    });
    const { claims, header } = await decode(body);
    expect(header['x5t']).toBe(header.kid);
    expect(claims).toMatchObject({
      aud: 'api://old',
      iss: `${entra.origin}/${tenant}/`,
      idp: `${entra.origin}/${tenant}/`,
      appid: clientId,
      appidacr: '1',
      roles: ['read'],
      ver: '1.0',
    });
    expect(claims).not.toHaveProperty('azp');
  });

  test.each([['api://old'], ['api://old/'], [oldApi]])(
    'keeps the audience as it was asked for: %s',
    async (aud) => {
      expect((await decode((await askV1(aud)).body)).claims.aud).toBe(aud);
    },
  );

  test('gives a token of version 2 where the resource asks for it', async () => {
    expect((await decode((await askV1('api://new')).body)).claims['ver']).toBe('2.0');
  });

  test('needs a resource', async () => {
    expect((await askV1('')).body['error_codes']).toEqual([900144]);
  });
});

describe('the version 2 endpoint', () => {
  test('gives a token of version 1 where the resource asks for it, slash and all', async () => {
    const { claims } = await decode((await askV2('api://old//.default')).body);
    expect(claims).toMatchObject({ ver: '1.0', aud: 'api://old/' });
  });

  test('pins the audience of version 1 to the client id where the optional claim says so', async () => {
    const { claims } = await decode((await askV2('api://pinned/.default')).body);
    expect(claims.aud).toMatch(/^[0-9a-f-]{36}$/);
  });

  test('says when to renew a long-lived token', async () => {
    const { body } = await askV2('openid profile api://long/.default offline_access');
    expect(body).toMatchObject({ expires_in: 86_399, refresh_in: 43_200 });
  });

  test('refuses a caller without a role where assignment is required', async () => {
    const { status, body } = await askV2('api://closed/.default');
    expect(status).toBe(400);
    expect(body).toMatchObject({ error: 'invalid_grant', error_codes: [501051] });
  });
});

describe('discovery', () => {
  test.each([
    ['', 'oauth2/token', 'discovery/keys', ''],
    ['v2.0/', 'oauth2/v2.0/token', 'discovery/v2.0/keys', 'v2.0'],
  ])('of %jthe other version is consistent', async (prefix, token, keys, issuer) => {
    const { body } = await getJson(entra, `/${tenant}/${prefix}.well-known/openid-configuration`);
    expect(body).toMatchObject({
      token_endpoint: `${entra.origin}/${tenant}/${token}`,
      jwks_uri: `${entra.origin}/${tenant}/${keys}`,
      issuer: `${entra.origin}/${tenant}/${issuer}`,
    });
  });

  test.each([['common'], ['organizations']])('of %s has the tenant as a template', async (alias) => {
    const { body } = await getJson(entra, `/${alias}/v2.0/.well-known/openid-configuration`);
    expect(body['issuer']).toBe(`${entra.origin}/{tenantid}/v2.0`);
    const { body: keySet } = await getJson(entra, `/${alias}/discovery/v2.0/keys`);
    expect(keySet['keys']).toHaveLength(2);
    expect(keySet['keys']).toContainEqual({
      kty: 'RSA',
      use: 'sig',
      kid: expect.any(String),
      x5t: expect.any(String),
      n: expect.any(String),
      e: 'AQAB',
      x5c: [expect.any(String)],
      issuer: `${entra.origin}/{tenantid}/v2.0`,
    });
  });

  test('of an unknown tenant is refused', async () => {
    const { body } = await getJson(entra, '/nowhere.example/v2.0/.well-known/openid-configuration');
    expect(body).toMatchObject({ error: 'invalid_tenant', error_codes: [90002] });
  });

  test('of instances knows its own only', async () => {
    const path = '/common/discovery/instance?api-version=1.1&authorization_endpoint=';
    const own = await getJson(entra, `${path}${entra.origin}/${tenant}/oauth2/v2.0/authorize`);
    expect(own.body).toMatchObject({
      tenant_discovery_endpoint: `${entra.origin}/${tenant}/v2.0/.well-known/openid-configuration`,
      'api-version': '1.1',
    });
    const other = await getJson(entra, `${path}https://login.example/common/oauth2/v2.0/authorize`);
    expect(other.body).toMatchObject({ error: 'invalid_instance', error_codes: [50049] });
  });
});
