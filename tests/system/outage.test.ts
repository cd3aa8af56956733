import { afterEach, describe, expect, test } from '@jest/globals';
import { takeToken } from '@countersign/cli';
import { startTestSystem, type TestSystem } from './test-system.ts';

let system: TestSystem | undefined;

afterEach(async () => {
  await system?.[Symbol.asyncDispose]();
  system = undefined;
});

describe('local-entra is down', () => {
  test('caller-api goes on with its cached token, records-api with the keys it has', async () => {
    system = await startTestSystem();
    const url = `${system.gatewayUrl}/caller/records`;
    expect((await system.fetch(url)).status).toBe(200);
    await system.service('local-entra').stop();
    const response = await system.fetch(url);
    expect(response.status).toBe(200);
    expect(await response.json()).toHaveLength(10);
  });

  test('a cold caller-api answers 503 with Retry-After and sends nothing', async () => {
    system = await startTestSystem();
    await system.service('local-entra').stop();
    const response = await system.fetch(`${system.gatewayUrl}/caller/records`);
    expect(response.status).toBe(503);
    expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(await response.json()).toMatchObject({ status: 503, code: 'identity_unavailable' });
    const requestId = response.headers.get('x-request-id') as string;
    const records = await system.completionRecords(requestId, ['gateway', 'caller-api']);
    expect(records.map((record) => record['service.name'])).not.toContain('records-api');
  });

  test('a person gets that as a page', async () => {
    system = await startTestSystem();
    await system.service('local-entra').stop();
    const response = await system.fetch(`${system.gatewayUrl}/caller/records`, {
      headers: { accept: 'text/html' },
    });
    expect(response.status).toBe(503);
    expect(response.headers.get('content-type')).toBe('text/html; charset=utf-8');
    expect(await response.text()).toContain('<code>identity_unavailable</code>');
  });

  test('a cold records-api answers a valid token with 503, never 401', async () => {
    system = await startTestSystem();
    const token = await takeToken('api2', system.dataFolder);
    await system.service('local-entra').stop();
    const response = await system.fetch(`${system.gatewayUrl}/api/records`, {
      headers: { authorization: `Bearer ${token}` },
    });
    expect(response.status).toBe(503);
    expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(response.headers.get('www-authenticate')).toBeNull();
    expect(await response.json()).toMatchObject({ code: 'identity_unavailable' });
    const ready = await system.fetch(`${system.recordsApiUrl}/readyz`);
    expect(await ready.json()).toEqual({ status: 'not ready', failed: ['keys'] });
  });
});

describe('records-api', () => {
  test('is down: 502 with a problem from gateway and caller-api alike', async () => {
    system = await startTestSystem();
    await system.service('records-api').stop();
    const direct = await system.fetch(`${system.gatewayUrl}/api/records`);
    expect(direct.status).toBe(502);
    expect(await direct.json()).toMatchObject({ code: 'upstream_unreachable' });
    const called = await system.fetch(`${system.gatewayUrl}/caller/records`);
    expect(called.status).toBe(502);
    expect(await called.json()).toMatchObject({ code: 'downstream_unreachable' });
  });

  test('refuses caller-api: 502 that names the refusal', async () => {
    // API3 is a valid application without the role.
    system = await startTestSystem({
      settings: { 'caller-api': { AZURE_CLIENT_ID: 'a9100003-0000-4000-8000-000000000003' } },
    });
    const wrongSecret = await system.fetch(`${system.gatewayUrl}/caller/records`);
    expect(wrongSecret.status).toBe(503);
    await system[Symbol.asyncDispose]();

    system = await startTestSystem({
      settings: { 'records-api': { API_CLIENT_ID: 'a9100004-0000-4000-8000-000000000004' } },
    });
    const response = await system.fetch(`${system.gatewayUrl}/caller/records`);
    expect(response.status).toBe(502);
    expect(await response.json()).toMatchObject({
      code: 'downstream_refused',
      downstream: {
        service: 'records-api',
        status: 401,
        code: 'invalid_token',
        requestId: expect.any(String),
      },
    });
  });
});
