import { afterEach, describe, expect, test } from '@jest/globals';
import { takeToken } from '@countersign/cli';
import { openForge } from './forge.ts';
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
    const requestId = response.headers.get('x-request-id') as string;
    const records = await system.completionRecords(requestId, ['caller-api']);
    expect(records.find((record) => record['service.name'] === 'caller-api')).toMatchObject({
      token_from_cache: true,
    });
    // A token that nobody has seen yet has to be verified with the keys at hand.
    const forge = await openForge(system.dataFolder, system.entraOrigin);
    const fresh = await system.fetch(`${system.recordsApiUrl}/api/records`, {
      headers: { authorization: `Bearer ${forge.token({ uti: 'seen-by-nobody' })}` },
    });
    expect(fresh.status).toBe(200);
  });

  test('cold services answer 503 with Retry-After: caller-api sends nothing, records-api never says 401', async () => {
    system = await startTestSystem();
    const token = await takeToken('api2', system.dataFolder);
    await system.service('local-entra').stop();

    const called = await system.fetch(`${system.gatewayUrl}/caller/records`);
    expect(called.status).toBe(503);
    expect(Number(called.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(await called.json()).toMatchObject({ status: 503, code: 'identity_unavailable' });
    const requestId = called.headers.get('x-request-id') as string;
    const records = await system.completionRecords(requestId, ['gateway', 'caller-api']);
    expect(records.map((record) => record['service.name'])).not.toContain('records-api');

    const page = await system.fetch(`${system.gatewayUrl}/caller/records`, {
      headers: { accept: 'text/html' },
    });
    expect(page.status).toBe(503);
    expect(page.headers.get('content-type')).toBe('text/html; charset=utf-8');
    expect(await page.text()).toContain('<code>identity_unavailable</code>');

    const direct = await system.fetch(`${system.gatewayUrl}/api/records`, {
      headers: { authorization: `Bearer ${token}` },
    });
    expect(direct.status).toBe(503);
    expect(Number(direct.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(direct.headers.get('www-authenticate')).toBeNull();
    expect(await direct.json()).toMatchObject({ code: 'identity_unavailable' });
    const ready = await system.fetch(`${system.recordsApiUrl}/readyz`);
    expect(await ready.json()).toEqual({ status: 'not ready', failed: ['keys'] });
  });
});

describe('records-api', () => {
  test('is down: 502 with a problem from gateway and caller-api alike', async () => {
    system = await startTestSystem();
    const token = await takeToken('api2', system.dataFolder);
    await system.service('records-api').stop();
    const direct = await system.fetch(`${system.gatewayUrl}/api/records`, {
      headers: { authorization: `Bearer ${token}` },
    });
    expect(direct.status).toBe(502);
    expect(await direct.json()).toMatchObject({ code: 'upstream_unreachable' });
    const called = await system.fetch(`${system.gatewayUrl}/caller/records`);
    expect(called.status).toBe(502);
    expect(await called.json()).toMatchObject({ code: 'downstream_unreachable' });
  });

  test('refuses caller-api: 502 that names the refusal', async () => {
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
