import { createServer, request as httpRequest } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { localApplications, localTenantId } from '@countersign/cli';
import { startTestSystem, type TestSystem } from './test-system.ts';

const sampleNames = Array.from({ length: 10 }, (_, index) => `Record ${index + 1}`);

let system: TestSystem;
/** Stands between caller-api and records-api and keeps the tokens that pass. */
const seenTokens: string[] = [];
let recordsApiUrl = '';
const recorder = createServer((incoming, outgoing) => {
  seenTokens.push(incoming.headers.authorization?.replace('Bearer ', '') ?? '');
  const forwarded = httpRequest(recordsApiUrl + incoming.url, { headers: incoming.headers }, (answer) => {
    outgoing.writeHead(answer.statusCode ?? 500, answer.headers);
    answer.pipe(outgoing);
  });
  incoming.pipe(forwarded);
});

beforeAll(async () => {
  await new Promise<void>((resolve) => {
    recorder.listen(0, '127.0.0.1', resolve);
  });
  const { port } = recorder.address() as AddressInfo;
  system = await startTestSystem({
    settings: { 'caller-api': { RECORDS_API_URL: `http://127.0.0.1:${port}` } },
  });
  recordsApiUrl = system.recordsApiUrl;
});

afterAll(async () => {
  await system?.[Symbol.asyncDispose]();
  recorder.closeAllConnections();
  recorder.close();
});

describe('one API calls another', () => {
  const requestId = 'page-view-with-a-cold-cache';

  test('the page at the gateway shows the ten records', async () => {
    const response = await system.fetch(`${system.gatewayUrl}/caller/records`, {
      headers: { accept: 'text/html,application/xhtml+xml;q=0.9,*/*;q=0.8', 'x-request-id': requestId },
    });
    const page = await response.text();
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe('text/html; charset=utf-8');
    expect(response.headers.get('x-request-id')).toBe(requestId);
    expect([...page.matchAll(/<th scope="row">(.*?)<\/th>/g)].map(([, name]) => name)).toEqual(sampleNames);
    expect(page).toContain('Description of Record 10');
    expect(page).toContain('taken from Entra');
  });

  test('with a token that verifies without any of our code', async () => {
    const { createRemoteJWKSet, jwtVerify, customFetch } = await import('jose');
    const discovery = `${system.entraOrigin}/${localTenantId}/v2.0/.well-known/openid-configuration`;
    const metadata = (await (await system.fetch(discovery)).json()) as { issuer: string; jwks_uri: string };
    const keys = createRemoteJWKSet(new URL(metadata.jwks_uri), {
      [customFetch]: (url: string, init: object) => system.fetch(url, init) as unknown as Promise<Response>,
    });
    const { payload } = await jwtVerify(seenTokens[0] as string, keys, {
      algorithms: ['RS256'],
      issuer: `${system.entraOrigin}/${localTenantId}/v2.0`,
      audience: localApplications.api1,
    });
    expect(metadata.issuer).toBe(payload.iss);
    expect(payload).toMatchObject({ ver: '2.0', tid: localTenantId, azp: localApplications.api2 });
    expect(payload['roles']).toContain('access_as_application_API1');
    expect(payload).not.toHaveProperty('scp');
  });

  test('and one request id and one trace through all four services', async () => {
    const services = ['gateway', 'caller-api', 'records-api', 'local-entra'];
    const records = await system.completionRecords(requestId, services);
    expect(new Set(records.map((record) => record['trace_id'])).size).toBe(1);
    const bySpan = new Map(records.map((record) => [record['span_id'], record]));
    const parentOf = (name: string): unknown => {
      const record = records.find((candidate) => candidate['service.name'] === name);
      return bySpan.get(record?.['parent_span_id'])?.['service.name'];
    };
    expect(services.map(parentOf)).toEqual([undefined, 'gateway', 'caller-api', expect.any(String)]);
    const tokenRequests = records.filter((record) =>
      String(record['url.path']).endsWith('/oauth2/v2.0/token'),
    );
    expect(tokenRequests.map((record) => bySpan.get(record['parent_span_id'])?.['service.name'])).toEqual([
      'caller-api',
    ]);
    const atRecordsApi = records.find((record) => record['service.name'] === 'records-api');
    expect(atRecordsApi).toMatchObject({
      azp: localApplications.api2,
      'http.request.method': 'GET',
      'http.route': '/api/records',
      'http.response.status_code': 200,
      start: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
      duration_ms: expect.any(Number),
    });
  });

  test('a program gets JSON, with the token from the cache', async () => {
    const before = seenTokens.length;
    const response = await system.fetch(`${system.gatewayUrl}/caller/records`);
    expect(response.headers.get('content-type')).toMatch(/^application\/json/);
    expect(await response.json()).toEqual(
      sampleNames.map((name, index) => ({
        id: index + 1,
        name,
        description: `Description of ${name}`,
        date: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
      })),
    );
    expect(seenTokens[before]).toBe(seenTokens[0]);
  });

  test.each(['/api/records', '/api/Records', '/API/records/'])('%s is the resource', async (path) => {
    const response = await system.fetch(`${system.gatewayUrl}${path}`, {
      headers: { authorization: `Bearer ${seenTokens[0]}` },
    });
    expect(response.status).toBe(200);
    expect(await response.json()).toHaveLength(10);
  });

  test('the gateway says what is here, and answers the rest with 404', async () => {
    const page = await system.fetch(`${system.gatewayUrl}/`);
    expect(await page.text()).toContain('href="/caller/records"');
    const response = await system.fetch(`${system.gatewayUrl}/nothing`);
    expect(response.status).toBe(404);
    expect(response.headers.get('content-type')).toBe('application/problem+json');
    expect(await response.json()).toEqual({
      title: 'Not Found',
      status: 404,
      code: 'not_found',
      detail: 'There is nothing at /nothing.',
      requestId: response.headers.get('x-request-id'),
    });
  });
});
