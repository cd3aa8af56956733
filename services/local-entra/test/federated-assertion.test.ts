import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createPublicKey } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { startLocalEntra, type LocalEntra } from '@countersign/local-entra';
import { makeCertificate, makeJwt, type CertifiedKey } from './assertion.ts';
import { postForm, send as sendJson, type Answer } from './https-client.ts';

const tenant = 'bbbb0000-0000-4000-8000-000000000001';
const clientId = 'bbbb0000-0000-4000-8000-000000000002';
const subject = 'system:serviceaccount:shop:checkout';
const audience = 'api://AzureADTokenExchange';

let pair: CertifiedKey;
let issuer: string;
let issuerServer: Server;
let kids: string[];
let documents: Record<string, unknown>;
let requests: string[];
let nowMs: number;
let entra: LocalEntra;

const configuration = '/.well-known/openid-configuration';

beforeAll(async () => {
  pair = await makeCertificate();
  issuerServer = createServer((request, response) => {
    requests.push(request.url ?? '');
    const document = documents[request.url ?? ''];
    if (document === undefined) response.writeHead(302, { location: `${issuer}${configuration}` }).end();
    else response.end(typeof document === 'string' ? document : JSON.stringify(document));
  });
  await new Promise<void>((resolve) => issuerServer.listen(0, '127.0.0.1', resolve));
  issuer = `http://127.0.0.1:${(issuerServer.address() as AddressInfo).port}`;
});
beforeEach(async () => {
  kids = ['first'];
  requests = [];
  nowMs = Date.now();
  const jwk = createPublicKey(pair.key).export({ format: 'jwk' });
  documents = {
    [configuration]: { issuer, jwks_uri: `${issuer}/keys` },
    get '/keys'() {
      return { keys: kids.map((kid) => ({ ...jwk, kid, use: 'sig' })) };
    },
  };
  const federatedCredentials = [
    { name: 'cluster', issuer, subject, audiences: [audience] },
    { name: 'gone', issuer: 'http://127.0.0.1:1', subject },
  ];
  entra = await startLocalEntra({
    clock: () => nowMs,
    seed: {
      tenants: [
        {
          id: tenant,
          displayName: 'Federation',
          applications: [
            { name: 'api', identifierUris: ['api://api'], requestedAccessTokenVersion: 2 },
            {
              name: 'client',
              appId: clientId,
              federatedCredentials,
              grantedRoles: [{ resource: 'microsoft-graph', role: 'Application.ReadWrite.All' }],
            },
            { name: 'none', appId: tenant },
          ],
        },
      ],
    },
  });
});
afterEach(() => entra.close());
afterAll(() => {
  issuerServer.close();
});

const send = (claims: object = {}, header: object = {}, client = clientId): Promise<Answer> => {
  const nowSeconds = Math.floor(nowMs / 1000);
  const common = { iss: issuer, sub: subject, aud: [audience], iat: nowSeconds, exp: nowSeconds + 3600 };
  return postForm(entra, `/${tenant}/oauth2/v2.0/token`, {
    grant_type: 'client_credentials',
    client_id: client,
    client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    client_assertion: makeJwt({ alg: 'RS256', kid: 'first', ...header }, { ...common, ...claims }, pair.key),
    scope: 'api://api/.default',
  });
};

describe('a federated assertion', () => {
  test('gives a token, and the issuer is asked once', async () => {
    const { decodeJwt } = await import('jose');
    const answers = await Promise.all([send(), send(), send()]);
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
    expect(decodeJwt(String(answers[0].body['access_token']))).toMatchObject({ azp: clientId, azpacr: '2' });
    expect(requests).toEqual([configuration, '/keys']);
  });

  test('signed by a new key of the issuer has the keys fetched again', async () => {
    expect((await send()).status).toBe(200);
    kids = ['second'];
    expect((await send({}, { kid: 'second' })).body['error_codes']).toEqual([700027]);
    nowMs += 6000;
    expect((await send({}, { kid: 'second' })).status).toBe(200);
  });

  test('must match issuer, subject and audience to the letter', async () => {
    expect((await send({ iss: `${issuer}/` })).body['error_codes']).toEqual([700211]);
    expect((await send({ sub: subject.toUpperCase() })).body['error_codes']).toEqual([700213]);
    expect((await send({ aud: audience.toLowerCase() })).body['error_codes']).toEqual([700212]);
    expect((await send({}, {}, tenant)).body['error_codes']).toEqual([70025]);
    expect(requests).toEqual([]);
  });

  test('is refused by issuer while its credential is on its way, and says so', async () => {
    const other = 'https://other.test';
    entra.delayPropagation({ federatedCredentials: 30 });
    const token = await entra.forge({
      client: clientId,
      resource: 'https://graph.microsoft.com',
      roles: ['Application.ReadWrite.All'],
    });
    const path = `/v1.0/applications(appId='${tenant}')/federatedIdentityCredentials`;
    const credential = { name: 'other', issuer: other, subject, audiences: [audience] };
    const headers = { authorization: `Bearer ${token}` };
    const made = await sendJson(entra, path, { method: 'POST', headers }, JSON.stringify(credential));
    expect(made.status).toBe(201);
    expect((await send({ iss: other }, {}, tenant)).body['error_codes']).toEqual([700211]);
    expect(entra.requests.refusals()[0]?.explanation).toContain('has not heard of it yet');
  });

  test('must be in force and signed with RS256', async () => {
    expect((await send({ exp: Math.floor(nowMs / 1000) - 301 })).body['error_codes']).toEqual([700024]);
    expect((await send({}, { alg: 'PS256' })).body['error_codes']).toEqual([50027]);
  });

  test('is refused while the issuer cannot be asked', async () => {
    expect((await send({ iss: 'http://127.0.0.1:1' })).body['error_codes']).toEqual([501661]);
  });

  test('is refused where the issuer redirects, answers too much or nonsense', async () => {
    delete documents['/keys'];
    expect((await send()).body['error_codes']).toEqual([501661]);
    documents['/keys'] = { keys: 'x'.repeat(300_000) };
    expect((await send()).body['error_codes']).toEqual([501661]);
    documents['/keys'] = 'nonsense';
    expect((await send()).body['error_codes']).toEqual([501661]);
  });
});
