import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { takeToken } from '@countersign/cli';
import { Client } from 'undici';
import { type Forge, openForge } from './forge.ts';
import { startTestSystem, type TestSystem } from './test-system.ts';

let system: TestSystem;
let forge: Forge;

beforeAll(async () => {
  system = await startTestSystem();
  forge = await openForge(system.dataFolder, system.entraOrigin);
});

afterAll(() => system?.[Symbol.asyncDispose]());

const get = (authorization?: string) =>
  system.fetch(`${system.gatewayUrl}/api/records`, { headers: authorization ? { authorization } : {} });

test('a forged token without a fault is taken, so that each fault below is the only one', async () => {
  expect((await get(`Bearer ${forge.token()}`)).status).toBe(200);
});

describe('without credentials: 401 and a challenge without error', () => {
  test.each([
    ['no header', undefined],
    ['another scheme', 'Basic dXNlcjpwYXNzd29yZA=='],
  ])('%s', async (_, authorization) => {
    const response = await get(authorization);
    expect(response.status).toBe(401);
    expect(response.headers.get('www-authenticate')).toBe('Bearer');
    expect(await response.json()).toMatchObject({ status: 401, code: 'missing_token' });
  });
});

describe('a header that cannot be read: 400', () => {
  test.each([
    ['no token', 'Bearer'],
    ['two tokens', 'Bearer one two'],
  ])('%s', async (_, authorization) => {
    const response = await get(authorization);
    expect(response.status).toBe(400);
    expect(response.headers.get('www-authenticate')).toMatch(/^Bearer error="invalid_request"/);
    expect(await response.json()).toMatchObject({ status: 400, code: 'invalid_request' });
  });
});

describe('a token that is not valid: 401, one fixed answer, and the cause in the log alone', () => {
  const invalidToken = 'The access token is not valid for this resource, or is no longer valid.';
  const otherTenant = '99999999-0000-4000-8000-000000000009';
  test.each<[name: string, make: () => string, failedCheck: string]>([
    [
      'expired',
      () => forge.token({ exp: forge.now - 600, nbf: forge.now - 4_000, iat: forge.now - 4_000 }),
      'expired',
    ],
    ['not valid yet', () => forge.token({ nbf: forge.now + 900 }), 'not_before'],
    ['for another audience', () => forge.token({ aud: 'a9100002-0000-4000-8000-000000000002' }), 'audience'],
    ['of another tenant', () => forge.token({ tid: otherTenant }), 'tenant'],
    [
      'of another issuer',
      () =>
        forge.token({ iss: 'https://login.microsoftonline.com/10ca10ca-0000-4000-8000-10ca10ca10ca/v2.0' }),
      'issuer',
    ],
    ['of version 1', () => forge.token({ ver: '1.0' }), 'version'],
    ['of a user', () => forge.token({ scp: 'Records.Read', idtyp: 'user' }), 'app_only'],
    ['alg none', () => `${forge.unsigned()}AAAA`, 'algorithm'],
    ['alg none without a signature', () => forge.unsigned(), 'structure'],
    ['HS256 with the public key', () => forge.confused(), 'algorithm'],
    ['signed by a strange key', () => forge.strange(), 'signature'],
    ['unknown kid', () => forge.strange({ kid: 'nobody-knows-this-key' }), 'key_id'],
    ['8 kB of garbage', () => 'x'.repeat(8_192), 'structure'],
    ['8 kB of garbage in three parts', () => `${'x'.repeat(4_000)}.${'y'.repeat(4_000)}.zzzz`, 'encoding'],
  ])('%s', async (_, make, failedCheck) => {
    const response = await get(`Bearer ${make()}`);
    expect(response.status).toBe(401);
    expect(response.headers.get('www-authenticate')).toBe(
      `Bearer error="invalid_token", error_description="${invalidToken}"`,
    );
    const requestId = response.headers.get('x-request-id') as string;
    expect(await response.json()).toEqual({
      title: 'Unauthorized',
      status: 401,
      code: 'invalid_token',
      detail: invalidToken,
      requestId,
    });
    const [record] = await system
      .completionRecords(requestId, ['gateway'])
      .then((records) => records.filter((candidate) => candidate['service.name'] === 'gateway'));
    expect(record).toMatchObject({
      'error.type': 'invalid_token',
      check: failedCheck,
      'http.route': '/api/records',
    });
  });
});

test('a token of API3: 403 with the role that it lacks', async () => {
  const response = await get(`Bearer ${await takeToken('api3', system.dataFolder)}`);
  expect(response.status).toBe(403);
  expect(response.headers.get('www-authenticate')).toBe(
    'Bearer error="insufficient_scope", scope="access_as_application_API1"',
  );
  expect(await response.json()).toMatchObject({
    status: 403,
    code: 'insufficient_role',
    requiredRoles: ['access_as_application_API1'],
  });
});

test('a token of API4, which may read, is taken', async () => {
  expect((await get(`Bearer ${await takeToken('api4', system.dataFolder)}`)).status).toBe(200);
});

test('a token of API4 does not write: 403 with the role that it lacks', async () => {
  const response = await system.fetch(`${system.gatewayUrl}/api/records/1`, {
    method: 'DELETE',
    headers: { authorization: `Bearer ${await takeToken('api4', system.dataFolder)}`, 'if-match': '*' },
  });
  expect(response.status).toBe(403);
  expect(await response.json()).toMatchObject({ requiredRoles: ['write_as_application_API1'] });
});

describe('at the gateway', () => {
  test.each(['/api/records/%2e%2e/secret', '/api/records/..%2fsecret', '/api//records', '/api/records;x=1'])(
    'the path %s, which has two readings: 400',
    async (path) => {
      // fetch would tidy the path up before sending it.
      const client = new Client(system.gatewayUrl);
      const { statusCode, body } = await client.request({ path, method: 'GET' });
      expect(statusCode).toBe(400);
      expect(await body.json()).toMatchObject({ code: 'invalid_request' });
      await client.close();
    },
  );

  test('a method that the resource does not have: 405', async () => {
    const roles = ['write_as_application_API1'];
    const response = await system.fetch(`${system.gatewayUrl}/api/records`, {
      method: 'DELETE',
      headers: { authorization: `Bearer ${forge.token({ roles })}` },
    });
    expect(response.status).toBe(405);
    expect(response.headers.get('allow')).toBe('HEAD, GET, POST');
    expect(await response.json()).toMatchObject({ code: 'method_not_allowed' });
  });
});
