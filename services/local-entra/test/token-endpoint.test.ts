import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { startLocalEntra, type LocalEntra } from '@countersign/local-entra';
import { postForm, getJson, type Answer } from './https-client.ts';

const tenant = '10ca10ca-0000-4000-8000-10ca10ca10ca';
const api1 = 'a9100001-0000-4000-8000-000000000001';
const api2 = 'a9100002-0000-4000-8000-000000000002';
const api3 = 'a9100003-0000-4000-8000-000000000003';
const scope = `api://${api1}/.default`;

let entra: LocalEntra;
beforeAll(async () => {
  entra = await startLocalEntra();
});
afterAll(() => entra.close());

const ask = (form: Record<string, string>, tenantName = tenant): Promise<Answer> =>
  postForm(entra, `/${tenantName}/oauth2/v2.0/token`, { grant_type: 'client_credentials', scope, ...form });

const askAs = (clientId: string, name: string, form: Record<string, string> = {}): Promise<Answer> =>
  ask({ client_id: clientId, client_secret: entra.secrets[name] ?? '', ...form });

describe('a token of version 2', () => {
  test('holds the granted roles and is signed by a published key', async () => {
    const { createRemoteJWKSet, customFetch, jwtVerify } = await import('jose');
    const answer = await askAs(api2, 'api2');
    expect(answer.status).toBe(200);
    expect(Object.keys(answer.body)).toEqual(['token_type', 'expires_in', 'ext_expires_in', 'access_token']);
    const keys = createRemoteJWKSet(new URL(`${entra.origin}/${tenant}/discovery/v2.0/keys`), {
      [customFetch]: async (url: string) => Response.json((await getJson(entra, new URL(url).pathname)).body),
    });
    const { payload, protectedHeader } = await jwtVerify(String(answer.body['access_token']), keys, {
      algorithms: ['RS256'],
      issuer: `${entra.origin}/${tenant}/v2.0`,
      audience: api1,
    });
    expect(protectedHeader).toEqual({ typ: 'JWT', alg: 'RS256', kid: expect.any(String) });
    expect(payload).toMatchObject({
      azp: api2,
      azpacr: '1',
      idtyp: 'app',
      roles: ['access_as_application_API1', 'write_as_application_API1'],
      tid: tenant,
      ver: '2.0',
    });
    expect(payload.sub).toBe(payload['oid']);
    expect(Number(payload.exp) - Number(payload.iat)).toBe(Number(answer.body['expires_in']) + 301);
  });

  test('has no roles where nothing was granted', async () => {
    const { decodeJwt } = await import('jose');
    const { body } = await askAs(api3, 'api3');
    expect(decodeJwt(String(body['access_token']))).not.toHaveProperty('roles');
  });

  test('is given to a client that uses HTTP Basic', async () => {
    const basic = Buffer.from(`${api2}:${encodeURIComponent(entra.secrets['api2'] ?? '')}`).toString(
      'base64',
    );
    const { status } = await postForm(
      entra,
      '/countersign.localhost/oauth2/v2.0/token',
      { grant_type: 'client_credentials', scope },
      { authorization: `Basic ${basic}` },
    );
    expect(status).toBe(200);
  });
});

describe('a refusal', () => {
  test('looks like one of Entra', async () => {
    const { status, body, headers } = await ask({ client_id: api2, client_secret: 'wrong' }, tenant);
    expect(status).toBe(401);
    expect(headers['x-local-entra']).toBe('emulator');
    expect(body).toEqual({
      error: 'invalid_client',
      error_description: expect.stringMatching(
        /^AADSTS7000215: Invalid client secret provided\..* Trace ID: \S+ Correlation ID: \S+ Timestamp: \S+ \S+Z$/,
      ),
      error_codes: [7000215],
      timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ$/),
      trace_id: expect.any(String),
      correlation_id: expect.any(String),
      error_uri: 'https://login.microsoftonline.com/error?code=7000215',
    });
  });

  test.each<[string, Record<string, string>, string, number]>([
    ['no credential', {}, tenant, 7000216],
    ['unknown tenant', { client_secret: 'x' }, 'deadbeef-0000-4000-8000-000000000000', 90002],
    ['malformed tenant', { client_secret: 'x' }, 'not a tenant', 900023],
    ['any tenant', { client_secret: 'x' }, 'common', 9001023],
    ['another grant', { client_secret: 'x', grant_type: 'password' }, tenant, 70003],
    ['no grant', { client_secret: 'x', grant_type: '' }, tenant, 900144],
    ['no client', { client_secret: 'x' }, tenant, 900144],
    ['unknown client', { client_secret: 'x', client_id: tenant }, tenant, 700016],
  ])('of %s', async (_, form, tenantName, number) => {
    const { body } = await ask(form, encodeURIComponent(tenantName));
    expect(body['error_codes']).toEqual([number]);
  });

  test.each([
    ['no scope', { scope: '' }, 900144],
    ['scope without default', { scope: `api://${api1}/read` }, 1002012],
    ['two resources', { scope: `${scope} https://graph.microsoft.com/.default` }, 700022],
    ['unknown resource', { scope: 'api://nobody/.default' }, 500011],
    ['resource in version 2', { resource: api1 }, 901002],
  ])('of %s', async (_, form, number) => {
    const { body } = await askAs(api2, 'api2', form);
    expect(body['error_codes']).toEqual([number]);
  });
});
