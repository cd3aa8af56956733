import { once } from 'node:events';
import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { localApplications, localTenantId, recordsApiScope } from '@countersign/cli';
import { openForge } from './forge.ts';
import { startTestSystem, type TestSystem } from './test-system.ts';

let system: TestSystem;
beforeAll(async () => {
  system = await startTestSystem();
});
// Also checks that every line that was logged is a JSON object without a token or secret.
afterAll(() => system?.[Symbol.asyncDispose]());

const send = async (service: string, bytes: string): Promise<string> => {
  const { port } = system.service(service);
  const socket =
    service === 'local-entra'
      ? connectTls({ port, host: 'localhost', rejectUnauthorized: false })
      : connect(port, '127.0.0.1');
  await once(socket, service === 'local-entra' ? 'secureConnect' : 'connect');
  let answer = '';
  socket.on('data', (chunk: Buffer) => (answer += chunk.toString('latin1')));
  // A reset is an answer as well.
  socket.on('error', () => undefined);
  const closed = new Promise((resolve) => {
    socket.once('close', resolve);
  });
  socket.end(bytes);
  await closed;
  return answer;
};

const services = ['gateway', 'caller-api', 'records-api', 'local-entra'];
const targets = [
  'http://',
  'http://[',
  'http://a:b/',
  'http://a:80a/x',
  'a://[::1/',
  'http://x/api/records',
  '*',
];

describe.each(services)('%s', (service) => {
  test.each(targets)('refuses the request target %s', async (target) => {
    const answer = await send(service, `GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
  });

  test('goes on after bodies that break off and chunks that are none', async () => {
    await send(service, 'POST /caller/records HTTP/1.1\r\nHost: x\r\nContent-Length: 999\r\n\r\nabc');
    await send(
      service,
      'POST /caller/records HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3;a="\r\n',
    );
    const answer = await send(service, 'GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    expect(answer).toMatch(/^HTTP\/1\.1 200 /);
  });
});

test('a token in a path is not logged', async () => {
  const forge = await openForge(system.dataFolder, system.entraOrigin);
  const response = await system.fetch(`${system.gatewayUrl}/api/records/${forge.token()}`, {
    headers: { authorization: `Bearer ${forge.token()}` },
  });
  expect(response.status).toBe(404);
  expect(await response.text()).not.toContain('eyJ');
});

describe('assertions at the token endpoint', () => {
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  test.each([
    ['an issuer that is an object', { alg: 'RS256', x5t: 'a' }, { iss: { toString: 1 } }],
    ['an algorithm that is an object', { alg: { toString: 1 }, x5t: 'a' }, { iss: localApplications.api2 }],
    ['a subject that is an object', { alg: 'RS256', kid: 'a' }, { iss: 'https://x', sub: { toString: 1 } }],
    [
      'an algorithm named as a member of every object',
      { alg: '__proto__', x5t: 'a' },
      { iss: localApplications.api2 },
    ],
    [
      '46,000 padding characters',
      { alg: 'RS256', x5t: `${'='.repeat(46_000)}x` },
      { iss: localApplications.api2 },
    ],
  ])('%s: 400 or 401', async (_, header, claims) => {
    const response = await system.fetch(`${system.entraOrigin}/${localTenantId}/oauth2/v2.0/token`, {
      method: 'POST',
      body: new URLSearchParams({
        client_id: localApplications.api2,
        grant_type: 'client_credentials',
        scope: recordsApiScope,
        client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
        client_assertion: `${part(header)}.${part(claims)}.c2ln`,
      }).toString(),
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
    });
    expect([400, 401]).toContain(response.status);
    expect(await response.json()).toMatchObject({
      error: expect.any(String),
      error_codes: [expect.any(Number)],
    });
  });
});
