import { once } from 'node:events';
import { request, type IncomingMessage } from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { startLocalEntra, type LocalEntra } from '@countersign/local-entra';

const tenant = 'fbfb0000-0000-4000-8000-000000000001';
const seed = {
  tenants: [
    {
      id: tenant,
      displayName: 'Hosts',
      applications: [{ name: 'api', identifierUris: ['api://api'] }],
      managedIdentities: [{ name: 'machine', clientId: 'fbfb0000-0000-4000-8000-000000000002' }],
    },
  ],
};

let entra: LocalEntra;
beforeAll(async () => {
  entra = await startLocalEntra({
    seed,
    admin: { port: 0 },
    managedIdentity: { port: 0 },
    allowedHosts: ['entra', 'Entra.Internal'],
  });
});
afterAll(() => entra.close());

const ask = async (url: string, headers: Record<string, string> = {}) => {
  const outgoing = request(url, { agent: false, headers });
  outgoing.end();
  const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
  const text = Buffer.concat(await response.toArray()).toString('utf8');
  return { status: response.statusCode, text };
};
const tokenPath = '/metadata/identity/oauth2/token?api-version=2018-02-01&resource=api://api';
const askAdmin = (headers: Record<string, string> = {}) => ask(`${entra.adminAddress}/`, headers);
const askIdentity = (headers: Record<string, string> = {}, query = '') =>
  ask(`${entra.managedIdentity?.address}${tokenPath}${query}`, { metadata: 'true', ...headers });

describe.each([
  ['the admin port', askAdmin],
  ['managed identity', askIdentity],
] as const)('%s', (_, send) => {
  test.each([
    'localhost',
    'LOCALHOST:8444',
    'localhost.',
    'entra.localhost:1',
    '127.0.0.1',
    '127.9.8.7:80',
    '[::1]',
    '[::1]:8444',
    '169.254.169.254',
    'entra:8444',
    'entra.internal',
  ])('answers %s', async (host) => {
    expect((await send({ host })).status).toBe(200);
  });

  test.each([
    'evil.test',
    'evil.test:8444',
    '127.0.0.1.evil.test',
    'localhost.evil.test',
    '10.0.0.1',
    'entra.evil.test',
    '[::2]',
    'user@localhost',
    'localhost/x',
  ])('does not answer "%s"', async (host) => {
    const { status, text } = await send({ host });
    expect(status).toBe(403);
    expect(text).not.toContain('access_token');
  });
});

describe('managed identity answers programs on the machine only', () => {
  test.each([
    ['origin', 'http://localhost'],
    ['sec-fetch-site', 'same-origin'],
    ['sec-fetch-site', 'cross-site'],
    ['x-forwarded-for', '10.0.0.1'],
  ])('not what sends %s: %s', async (name, value) => {
    expect((await askIdentity({ [name]: value })).status).toBe(403);
  });

  test('nor a browser address line, which sends none', async () => {
    expect((await askIdentity({ 'sec-fetch-site': 'none' })).status).toBe(200);
  });

  const client = 'fbfb0000-0000-4000-8000-000000000002';
  test.each([
    `&client_id=${client}&client_id=${client}`,
    `&client_id=${client}&object_id=fbfb0000-0000-4000-8000-000000000009`,
    '&resource=api://other',
  ])('parameters that repeat or contradict each other are refused: %s', async (query) => {
    expect((await askIdentity({}, query)).status).toBe(400);
  });

  test('one way to name the identity is enough', async () => {
    expect((await askIdentity({}, `&client_id=${client}`)).status).toBe(200);
  });
});
