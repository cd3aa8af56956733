import { localApplications } from '@countersign/cli';
import { afterEach, describe, expect, test } from '@jest/globals';
import { request } from 'undici';
import { openForge } from './forge.ts';
import { startTestSystem, type TestSystem } from './test-system.ts';

let system: TestSystem | undefined;

afterEach(async () => {
  await system?.[Symbol.asyncDispose]();
  system = undefined;
});

const start = async (settings: Record<string, string>): Promise<TestSystem> => {
  // What `npm start` says is for anonymous alone.
  system = await startTestSystem({ settings: { 'caller-api': { ANONYMOUS_WRITES: '', ...settings } } });
  return system;
};

const record = { name: 'New', description: '', date: '2026-01-01T00:00:00Z' };

/** Reads and writes with a token; the codes of both answers. */
const tryWith = async ({ fetch, gatewayUrl }: TestSystem, token?: string): Promise<(number | string)[]> => {
  const url = `${gatewayUrl}/caller/records`;
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const read = await fetch(url, { headers });
  await read.arrayBuffer();
  const write = await fetch(url, {
    method: 'POST',
    headers: { ...headers, 'content-type': 'application/json' },
    body: JSON.stringify(record),
  });
  const { code = '' } = (await write.json()) as { code?: string };
  return [read.status, write.status, code];
};

describe('ACCESS_MODE', () => {
  test.each([
    [
      'missing',
      { ACCESS_MODE: '' },
      'ACCESS_MODE has to say who may call this API: anonymous, app-role or ingress',
    ],
    [
      'app-role without a role',
      { ACCESS_MODE: 'app-role' },
      'ACCESS_APP_ROLE is needed with ACCESS_MODE app-role',
    ],
    [
      'ingress without an ingress',
      { ACCESS_MODE: 'ingress' },
      'INGRESS_CLIENT_IDS is needed with ACCESS_MODE ingress',
    ],
    [
      'ingress with anonymous writes',
      { ACCESS_MODE: 'ingress', INGRESS_CLIENT_IDS: localApplications.api3, ANONYMOUS_WRITES: 'allow' },
      'ANONYMOUS_WRITES is for ACCESS_MODE anonymous alone',
    ],
  ])('%s: does not start, and says why in one sentence', async (_, settings, sentence) => {
    await expect(start(settings)).rejects.toThrow(`The configuration cannot be used: ${sentence}.`);
  });

  test('anonymous: reads, with a warning at the start; writes only where that is asked for', async () => {
    const running = await start({});
    expect(await tryWith(running)).toEqual([200, 403, 'writes_disabled']);
    const warning = running.lines.find(
      ({ record }) => record?.['level'] === 'warn' && record['service.name'] === 'caller-api',
    );
    expect(warning?.record?.['msg']).toBe(
      'ACCESS_MODE is anonymous: whoever reaches this service reads the records',
    );
    const page = await running.fetch(`${running.gatewayUrl}/caller/records`, {
      headers: { accept: 'text/html' },
    });
    expect(await page.text()).not.toContain('Add a record');
    const form = await running.fetch(`${running.gatewayUrl}/caller/records/new`, {
      headers: { accept: 'text/html' },
    });
    expect(form.status).toBe(403);
  });

  test('app-role: by roles of this API', async () => {
    const running = await start({
      ACCESS_MODE: 'app-role',
      ACCESS_APP_ROLE: 'access_as_application_API2',
      ACCESS_WRITE_APP_ROLE: 'write_as_application_API2',
    });
    const { token } = await openForge(running.dataFolder, running.entraOrigin);
    const aud = localApplications.api2;
    const withRoles = (...roles: string[]): string =>
      token({ aud, azp: localApplications.api4, roles, uti: roles.join() });
    expect(await tryWith(running)).toEqual([401, 401, 'missing_token']);
    // For records-api.
    expect(await tryWith(running, token())).toEqual([401, 401, 'invalid_token']);
    expect(await tryWith(running, withRoles('access_as_application_API1'))).toEqual([
      403,
      403,
      'insufficient_role',
    ]);
    expect(await tryWith(running, withRoles('access_as_application_API2'))).toEqual([
      200,
      403,
      'insufficient_role',
    ]);
    expect(
      await tryWith(running, withRoles('access_as_application_API2', 'write_as_application_API2')),
    ).toEqual([200, 201, '']);
  });

  test('app-role: no route is open to who has no token', async () => {
    const { fetch, gatewayUrl } = await start({
      ACCESS_MODE: 'app-role',
      ACCESS_APP_ROLE: 'access_as_application_API2',
      ACCESS_WRITE_APP_ROLE: 'write_as_application_API2',
    });
    const routes = [
      ...['GET /', 'HEAD /', 'GET /new', 'GET /1', 'HEAD /1', 'POST /', 'POST /1', 'PUT /1'],
      ...['GET /1/', 'GET /NEW', 'POST /new'],
    ];
    const spellings = ['/caller/records', '/Caller/records', '/CALLER/RECORDS'];
    const requests = routes.flatMap((route) => spellings.map((spelling) => ({ route, spelling })));
    const answers = await Promise.all(
      requests.map(async ({ route, spelling }) => {
        const [method = '', path = ''] = route.split(' ');
        const answer = await fetch(`${gatewayUrl}${spelling}${path === '/' ? '' : path}`, {
          method,
          headers: { 'content-type': 'application/json' },
        });
        await answer.arrayBuffer();
        return `${route} ${spelling} ${answer.status}`;
      }),
    );
    expect(answers).toEqual(requests.map(({ route, spelling }) => `${route} ${spelling} 401`));
  });

  test('app-role without a role to write: nobody writes', async () => {
    const running = await start({ ACCESS_MODE: 'app-role', ACCESS_APP_ROLE: 'access_as_application_API2' });
    const { token } = await openForge(running.dataFolder, running.entraOrigin);
    const roles = ['access_as_application_API2', 'write_as_application_API2'];
    const [read, write] = await tryWith(running, token({ aud: localApplications.api2, roles }));
    expect([read, write]).toEqual([200, 403]);
  });

  test('ingress: its own token, and no header that says who it is', async () => {
    const ingress = localApplications.api3;
    const running = await start({ ACCESS_MODE: 'ingress', INGRESS_CLIENT_IDS: ingress });
    const { token } = await openForge(running.dataFolder, running.entraOrigin);
    const aud = localApplications.api2;
    expect(await tryWith(running, token({ aud, azp: ingress, roles: [] }))).toEqual([200, 201, '']);
    expect(await tryWith(running, token({ aud, azp: localApplications.api4 }))).toEqual([
      403,
      403,
      'caller_not_allowed',
    ]);
    const pretended = await running.fetch(`${running.callerApiUrl}/caller/records`, {
      headers: { 'x-caller-application-id': ingress },
    });
    expect(pretended.status).toBe(401);
  });
});

test('writes of pages of other sites are refused, those of its own pages taken', async () => {
  system = await startTestSystem();
  const { fetch, gatewayUrl, callerApiUrl } = system;
  const send = async (headers: Record<string, string>, url = gatewayUrl): Promise<number> => {
    const response = await fetch(`${url}/caller/records`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
      body: new URLSearchParams({ ...record, date: '2026-01-01T00:00' }).toString(),
      redirect: 'manual',
    });
    await response.arrayBuffer();
    return response.status;
  };
  expect(await send({ 'sec-fetch-site': 'same-origin' })).toBe(303);
  // Over plain HTTP beyond this machine browsers send no Sec-Fetch-Site; behind the gateway the host is another one.
  expect(await send({ origin: gatewayUrl })).toBe(303);
  expect(await send({ origin: callerApiUrl }, callerApiUrl)).toBe(303);
  for (const headers of [
    {},
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
    { 'sec-fetch-site': 'none' },
    { 'sec-fetch-site': 'cross-site', origin: gatewayUrl },
    { origin: 'https://elsewhere.example' },
    { origin: 'null' },
    { 'content-type': 'text/plain' },
    { 'content-type': 'application/json', 'sec-fetch-site': 'cross-site' },
  ]) {
    expect({ headers, status: await send(headers) }).toEqual({ headers, status: 403 });
  }
});

describe('the name that a request is for', () => {
  /** Through the gateway and past it, as a page would ask whose name points here. */
  const askedAs = async (host: string, { gatewayUrl, callerApiUrl }: TestSystem): Promise<number[]> => {
    const statuses = [];
    for (const [url, headers] of [
      [gatewayUrl, { host }],
      [callerApiUrl, { host }],
      [callerApiUrl, { host, 'x-forwarded-host': 'localhost' }],
    ] as const) {
      const { statusCode, body } = await request(`${url}/caller/records`, { headers });
      statuses.push(statusCode);
      await body.dump();
    }
    return statuses;
  };

  test('is a loopback one where anonymous callers write', async () => {
    const running = await start({ ANONYMOUS_WRITES: 'allow' });
    for (const host of ['localhost', 'LOCALHOST:8080', '127.0.0.1', '[::1]:8080'])
      expect([host, ...(await askedAs(host, running))]).toEqual([host, 200, 200, 200]);
    for (const host of ['rebound.example', 'localhost.example:8080', '10.0.0.1'])
      expect([host, ...(await askedAs(host, running))]).toEqual([host, 403, 403, 403]);
    const probe = await request(`${running.callerApiUrl}/readyz`, { headers: { host: '10.0.0.1' } });
    expect(probe.statusCode).toBe(200);
    await probe.body.dump();
  });

  test('is one of ALLOWED_HOSTS besides, in any access mode', async () => {
    const running = await start({ ALLOWED_HOSTS: 'records.example, [fd00::1]' });
    expect(await askedAs('records.example', running)).toEqual([200, 200, 200]);
    expect(await askedAs('[fd00::1]:8082', running)).toEqual([200, 200, 200]);
    expect(await askedAs('rebound.example', running)).toEqual([403, 403, 403]);
  });

  test('is any where nobody writes who is not known', async () => {
    expect(await askedAs('rebound.example', await start({}))).toEqual([200, 200, 200]);
  });
});
