import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  createEntraNetwork,
  createTokenSource,
  type ClientCredential,
  type TokenSource,
} from '../src/index.ts';
import {
  apiClientId,
  callerClientId,
  clientSecret,
  startTestIssuer,
  tenantId,
  type TestIssuer,
} from './test-issuer.ts';

const scope = `api://${apiClientId}/.default`;
const minute = 60_000;

let issuer: TestIssuer;
let now: number;

beforeEach(async () => {
  issuer = await startTestIssuer();
  now = Date.now();
});

afterEach(() => issuer.close());

const createSource = (credential: ClientCredential = { clientSecret }): TokenSource =>
  createTokenSource({
    authorityHost: issuer.origin,
    tenantId,
    clientId: callerClientId,
    credential,
    network: createEntraNetwork({ ca: issuer.ca, timeoutMs: 1500 }),
    clock: () => now,
  });

test('fifty cold callers make one request, ten thousand warm ones none', async () => {
  const source = createSource();
  const tokens = await Promise.all(Array.from({ length: 50 }, () => source.getToken({ scope })));
  expect(new Set(tokens.map(({ accessToken }) => accessToken)).size).toBe(1);
  expect(issuer.tokenRequests).toHaveLength(1);
  expect(Object.fromEntries(issuer.tokenRequests[0]?.form ?? [])).toMatchObject({
    grant_type: 'client_credentials',
    client_id: callerClientId,
    client_secret: clientSecret,
    scope,
  });
  const warm = await Promise.all(Array.from({ length: 10_000 }, () => source.getToken({ scope })));
  expect(warm.every(({ fromCache }) => fromCache)).toBe(true);
  expect(issuer.tokenRequests).toHaveLength(1);
});

test('the headers of the call go along, and a request id that is a GUID becomes the correlation id', async () => {
  const source = createSource();
  const id = randomUUID();
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
  await source.getToken({ scope, headers: { 'x-request-id': id, traceparent } });
  expect(issuer.tokenRequests[0]?.headers).toMatchObject({ 'x-request-id': id, traceparent });
  expect(issuer.tokenRequests[0]?.form.get('client-request-id')).toBe(id);
  await source.getToken({ scope: 'api://other/.default', headers: { 'x-request-id': 'not a guid' } });
  expect(issuer.tokenRequests[1]?.form.get('client-request-id')).toMatch(/^[0-9a-f-]{36}$/);
});

test('a token is replaced in the background before it ends, and serves through an outage until then', async () => {
  const source = createSource();
  const { accessToken } = await source.getToken({ scope });
  issuer.tokenReply = () => ({ status: 503, body: '<html>' });
  now += 56 * minute;
  expect((await source.getToken({ scope })).accessToken).toBe(accessToken);
  now += 3 * minute;
  expect((await source.getToken({ scope })).accessToken).toBe(accessToken);
  now += minute;
  await expect(source.getToken({ scope })).rejects.toMatchObject({
    status: 503,
    code: 'identity_unavailable',
  });
  issuer.tokenReply = undefined;
  now += minute;
  expect((await source.getToken({ scope })).fromCache).toBe(false);
});

test.each<[string, TestIssuer['tokenReply']]>([
  ['500', () => ({ status: 500, body: 'x' })],
  ['a hanging server', () => 'hang'],
  ['a redirect', () => ({ status: 307, headers: { location: 'https://localhost:1/token' }, body: '' })],
  ['HTML', () => ({ body: '<html>' })],
])('Entra unreachable (%s) is 503 with Retry-After, and over when it is over', async (_, reply) => {
  const source = createSource();
  issuer.tokenReply = reply;
  const error = await source.getToken({ scope }).catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ name: 'IdentityUnavailableError', status: 503 });
  const { headers } = error as { headers: Record<string, string> };
  expect(Number(headers['Retry-After'])).toBeGreaterThanOrEqual(5);
  issuer.tokenReply = undefined;
  now += 1000;
  expect((await source.getToken({ scope })).accessToken).toMatch(/^token-/);
});

test('429 is honoured for as long as the server says', async () => {
  const source = createSource();
  issuer.tokenReply = () => ({ status: 429, headers: { 'retry-after': '30' }, body: '{}' });
  await expect(source.getToken({ scope })).rejects.toMatchObject({ headers: { 'Retry-After': '30' } });
  issuer.tokenReply = undefined;
  now += 29_000;
  await expect(source.getToken({ scope })).rejects.toMatchObject({ status: 503 });
  expect(issuer.tokenRequests).toHaveLength(1);
  now += 1000;
  await source.getToken({ scope });
});

test('a refusal is explained to the log and not to the client', async () => {
  const source = createSource({ clientSecret: 'wrong' });
  const error = await source.getToken({ scope }).catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({
    name: 'TokenAcquisitionError',
    status: 503,
    code: 'identity_unavailable',
    logFields: {
      error: 'invalid_client',
      aadsts: 7000215,
      correlationId: expect.any(String),
      clientId: callerClientId,
      scope,
      credential: 'clientSecret',
    },
  });
  expect(String(error)).not.toMatch(/AADSTS|secret|wrong/);
  expect(JSON.stringify(error)).not.toContain('"wrong"');
});

test('a secret file is read again', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'secret-'));
  const clientSecretFile = join(folder, 'secret');
  await writeFile(clientSecretFile, 'old\n');
  const source = createSource({ clientSecretFile });
  await expect(source.getToken({ scope })).rejects.toMatchObject({ name: 'TokenAcquisitionError' });
  await writeFile(clientSecretFile, `${clientSecret}\n`);
  now += 1000;
  await source.getToken({ scope });
  expect(issuer.tokenRequests.map(({ form }) => form.get('client_secret'))).toEqual(['old', clientSecret]);
  await rm(folder, { recursive: true });
});

test('a scope that is no .default is a programming error', async () => {
  await expect(createSource().getToken({ scope: 'api://x/role' })).rejects.toThrow(TypeError);
});
