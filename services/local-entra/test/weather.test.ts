import { request } from 'node:http';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { startLocalEntra, type LocalEntra } from '@countersign/local-entra';
import { getJson, postForm, send, type Answer } from './https-client.ts';

const tenant = '10ca10ca-0000-4000-8000-10ca10ca10ca';
const api1 = 'a9100001-0000-4000-8000-000000000001';
const api2 = 'a9100002-0000-4000-8000-000000000002';
const api3 = 'a9100003-0000-4000-8000-000000000003';
const provisioner = 'a91000ff-0000-4000-8000-0000000000ff';

let entra: LocalEntra;
let nowMs: number;
beforeEach(async () => {
  nowMs = Date.now();
  entra = await startLocalEntra({ clock: () => nowMs, admin: { port: 0 } });
});
afterEach(() => entra.close());

const ask = (
  client = api2,
  secret = entra.secrets['api2'] ?? '',
  scope = `api://${api1}/.default`,
): Promise<Answer> =>
  postForm(entra, `/${tenant}/oauth2/v2.0/token`, {
    grant_type: 'client_credentials',
    client_id: client,
    client_secret: secret,
    scope,
  });
const kidOf = async (answer: Answer): Promise<string | undefined> => {
  const { decodeProtectedHeader } = await import('jose');
  return decodeProtectedHeader(String(answer.body['access_token'])).kid;
};
const publishedKids = async (): Promise<string[]> => {
  const { body } = await getJson(entra, `/${tenant}/discovery/v2.0/keys`);
  return (body['keys'] as { kid: string }[]).map(({ kid }) => kid);
};

const admin = async (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) => {
  const outgoing = request(`${entra.adminAddress}${path}`, {
    method,
    agent: false,
    headers: { ...(body !== undefined && { 'content-type': 'application/json' }), ...headers },
  });
  outgoing.end(body === undefined ? undefined : JSON.stringify(body));
  const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
  const text = Buffer.concat(await response.toArray()).toString('utf8');
  return {
    status: response.statusCode,
    body: (text === '' ? undefined : JSON.parse(text)) as Record<string, unknown>,
  };
};

describe('faults', () => {
  test('strike as often as asked for, with status and Retry-After', async () => {
    entra.faults.add({ endpoint: 'token', status: 503, retryAfterSeconds: 7, count: 2 });
    const first = await ask();
    expect(first).toMatchObject({
      status: 503,
      headers: { 'retry-after': '7' },
      body: { error: 'temporarily_unavailable' },
    });
    expect((await ask()).status).toBe(503);
    expect((await ask()).status).toBe(200);
  });

  test('strike one endpoint and not the others, until they are cleared', async () => {
    entra.faults.add({ endpoint: 'keys', status: 500, body: 'html' });
    expect((await getJson(entra, `/${tenant}/discovery/v2.0/keys`)).status).toBe(500);
    expect((await ask()).status).toBe(200);
    entra.faults.clear();
    expect(await publishedKids()).toHaveLength(2);
  });

  test('look like the own errors of the endpoint', async () => {
    entra.faults.add({ endpoint: 'any', status: 503, retryAfterSeconds: 7 });
    const token = await ask();
    expect(token.headers).toMatchObject({
      'retry-after': '7',
      'x-ms-request-id': token.body['trace_id'],
      'x-ms-clitelem': '1,90033,0,,',
      'x-ms-ests-server': expect.any(String),
    });
    expect(token.body).toMatchObject({
      error: 'temporarily_unavailable',
      error_description: expect.stringMatching(
        /^AADSTS90033: .+ Trace ID: \S+ Correlation ID: \S+ Timestamp: \S+ \S+Z$/,
      ),
      error_codes: [90033],
      timestamp: expect.any(String),
      correlation_id: expect.any(String),
    });
    entra.faults.clear();
    entra.faults.add({ endpoint: 'graph', status: 429 });
    const graph = await send(entra, '/v1.0/applications');
    expect(graph).toMatchObject({ status: 429, headers: { 'request-id': expect.any(String) } });
    expect(graph.body['error']).toMatchObject({
      code: 'TooManyRequests',
      innerError: { 'request-id': graph.headers['request-id'] },
    });
  });

  test('cut connections', async () => {
    entra.faults.add({ endpoint: 'any', disconnect: true, latencyMs: 1 });
    await expect(ask()).rejects.toThrow('socket hang up');
  });
});

describe('key rotation', () => {
  test('graceful: the next key was published before it signs, and the old one stays', async () => {
    const before = await publishedKids();
    const old = await kidOf(await ask());
    await entra.rotateKeys();
    expect(await kidOf(await ask())).toBe(before[1]);
    expect(await publishedKids()).toEqual([old, before[1], expect.any(String)]);
  });

  test('emergency: no old key is left', async () => {
    const before = await publishedKids();
    await entra.rotateKeys('emergency');
    const after = await publishedKids();
    expect(after).toHaveLength(2);
    expect(after).not.toEqual(expect.arrayContaining([before[0]]));
    expect(after).toContain(await kidOf(await ask()));
  });

  test('a hidden key signs before it is published', async () => {
    await entra.hideKey(60);
    const kid = await kidOf(await ask());
    expect(await publishedKids()).not.toContain(kid);
    nowMs += 60_000;
    expect(await publishedKids()).toContain(kid);
  });
});

test('the clock can be shifted', async () => {
  const { decodeJwt } = await import('jose');
  entra.shiftClock(-7200);
  const { body } = await ask();
  expect(Number(decodeJwt(String(body['access_token'])).nbf)).toBe(Math.floor(nowMs / 1000) - 7500);
});

test('a new secret takes as long to be known as it was told to', async () => {
  entra.delayPropagation({ secrets: 30 });
  const graphToken = await ask(
    provisioner,
    entra.secrets['provisioner'],
    'https://graph.microsoft.com/.default',
  );
  const headers = { authorization: `Bearer ${String(graphToken.body['access_token'])}` };
  const graph = (path: string, body: object) =>
    send(entra, `/v1.0/${path}`, { method: 'POST', headers }, JSON.stringify(body));
  const application = (await graph('applications', { displayName: 'New' })).body;
  await graph('servicePrincipals', { appId: application['appId'] });
  const secret = (await graph(`applications/${String(application['id'])}/addPassword`, {})).body[
    'secretText'
  ];
  const asNew = () => ask(String(application['appId']), String(secret));
  expect((await asNew()).body['error_codes']).toEqual([7000215]);
  nowMs += 30_000;
  expect((await asNew()).status).toBe(200);
});

describe('the forge', () => {
  test('makes good tokens, and tokens that are wrong in one way', async () => {
    const { decodeJwt, decodeProtectedHeader, jwtVerify, createLocalJWKSet } = await import('jose');
    const { body } = await getJson(entra, `/${tenant}/discovery/v2.0/keys`);
    const keys = createLocalJWKSet(body as never);
    const verifyForged = async (token: string) => jwtVerify(token, keys, { algorithms: ['RS256'] });

    const good = await entra.forge({ client: api3, resource: api1, roles: ['access_as_application_API1'] });
    const { payload } = await verifyForged(good);
    expect(payload).toMatchObject({
      aud: api1,
      azp: api3,
      roles: ['access_as_application_API1'],
      ver: '2.0',
    });

    const without = await entra.forge({
      resource: api1,
      claims: { exp: null, aud: 'x' },
      header: { typ: null },
    });
    expect(decodeJwt(without)).toMatchObject({ aud: 'x' });
    expect(decodeJwt(without)).not.toHaveProperty('exp');
    expect(decodeProtectedHeader(without)).not.toHaveProperty('typ');

    expect(decodeProtectedHeader(await entra.forge({ key: 'none' })).alg).toBe('none');
    expect(decodeProtectedHeader(await entra.forge({ key: 'public-as-hmac' })).alg).toBe('HS256');
    expect(decodeJwt(await entra.forge({ version: 1, resource: api1 }))['ver']).toBe('1.0');
    await expect(entra.forge({ key: 'next' }).then(verifyForged)).resolves.toBeDefined();
    await expect(entra.forge({ key: 'unpublished' }).then(verifyForged)).rejects.toThrow(/no applicable key/);
    await expect(entra.forge({ corruptSignature: true }).then(verifyForged)).rejects.toThrow(/signature/);
    await expect(entra.forge({ resource: 'nothing' })).rejects.toThrow('There is no API nothing');
  });
});

test('the request log says in plain words why', async () => {
  await ask(api3, entra.secrets['api3']);
  await ask(api2, 'wrong');
  const [wrong, roleless] = entra.requests.refusals();
  expect(wrong?.explanation).toMatch(
    /^caller-api asked for a token: refused, because the secret is not one of/,
  );
  expect(roleless?.explanation).toBe(
    'stranger-api asked for records-api: token issued without roles, because no assignment exists.',
  );
  expect(JSON.stringify(entra.requests.list())).not.toContain(entra.secrets['api3']);
});

describe('the admin port', () => {
  test('does over HTTP what the functions do', async () => {
    const fault = await admin('POST', '/faults', { endpoint: 'token', status: 429, retryAfterSeconds: 1 });
    expect(fault.status).toBe(201);
    expect((await ask()).status).toBe(429);
    expect((await admin('DELETE', `/faults/${String(fault.body['id'])}`)).status).toBe(204);
    expect((await ask()).status).toBe(200);
    expect((await admin('POST', '/keys/rotate', { mode: 'emergency' })).status).toBe(200);
    expect((await admin('POST', '/keys/hide', { seconds: 5 })).status).toBe(200);
    expect((await admin('PUT', '/clock', { shiftSeconds: 60 })).body).toMatchObject({
      clockShiftSeconds: 60,
    });
    expect((await admin('PUT', '/propagation', { roles: 5 })).body).toMatchObject({
      propagationSeconds: { secrets: 0, roles: 5 },
    });
    expect((await admin('POST', '/forge', {})).body['access_token']).toMatch(/^eyJ/);
    expect((await admin('GET', '/requests')).body).toEqual(
      expect.arrayContaining([expect.objectContaining({ status: 200, client: 'caller-api' })]),
    );
    expect((await admin('GET', '/')).body).toMatchObject({ clockShiftSeconds: 60 });
  });

  test('says what is wrong with a request', async () => {
    expect(await admin('POST', '/faults', { endpoint: 'nowhere' })).toMatchObject({
      status: 400,
      body: { errors: [{ pointer: '/endpoint' }] },
    });
    expect((await admin('POST', '/forge', { resource: 'x' })).body).toMatchObject({
      code: 'invalid_request',
    });
    expect((await admin('GET', '/nothing')).status).toBe(404);
  });

  test.each([
    ['origin', 'http://evil.test'],
    ['sec-fetch-site', 'cross-site'],
  ])('refuses pages (%s)', async (name, value) => {
    expect((await admin('POST', '/keys/rotate', {}, { [name]: value })).status).toBe(403);
  });
});

describe('a refusal names', () => {
  test('the client id and the API that were asked for, known or not', async () => {
    const nowhere = 'deadbeef-0000-4000-8000-00000000dead';
    await ask(nowhere);
    expect(entra.requests.refusals()[0]).toMatchObject({
      client: nowhere,
      explanation: expect.stringContaining(nowhere),
    });
    await ask(api2, entra.secrets['api2'], 'api://nothing-here/.default');
    expect(entra.requests.refusals()[0]).toMatchObject({
      client: 'caller-api',
      resource: 'api://nothing-here',
      explanation: expect.stringContaining('asked for api://nothing-here: refused'),
    });
    await ask('x'.repeat(5000));
    expect(entra.requests.refusals()[0]?.client).toHaveLength(200);
  });

  test('why a granted role is not in the token', async () => {
    const graphToken = await ask(
      provisioner,
      entra.secrets['provisioner'],
      'https://graph.microsoft.com/.default',
    );
    const graph = (method: string, path: string, body?: object) =>
      send(
        entra,
        `/v1.0/${path}`,
        { method, headers: { authorization: `Bearer ${String(graphToken.body['access_token'])}` } },
        body && JSON.stringify(body),
      );
    const stranger = await graph('GET', `servicePrincipals(appId='${api3}')`);
    const api = await graph('GET', `servicePrincipals(appId='${api1}')`);
    const roles = api.body['appRoles'] as { id: string; value: string }[];
    const role = roles.find(({ value }) => value === 'access_as_application_API1');
    entra.delayPropagation({ roles: 30 });
    await graph('POST', `servicePrincipals/${String(api.body['id'])}/appRoleAssignedTo`, {
      principalId: stranger.body['id'],
      resourceId: api.body['id'],
      appRoleId: role?.id,
    });
    await ask(api3, entra.secrets['api3']);
    expect(entra.requests.refusals()[0]?.explanation).toContain(
      'token issued without roles, because the role access_as_application_API1 is granted, and the token endpoint has not heard of it yet',
    );
    const page = await getJson(entra, '/');
    expect(page.body['text']).toContain('access_as_application_API1 (not known yet)');
  });
});
