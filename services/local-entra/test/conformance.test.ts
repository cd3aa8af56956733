import { createPublicKey } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { startLocalEntra, type LocalEntra } from '@countersign/local-entra';
import { errorTable, type StsErrorCause } from '../src/sts-errors/error-table.ts';
import { makeAssertion, makeCertificate, makeJwt, type CertifiedKey } from './assertion.ts';
import { expectations } from './conformance/expectations.ts';
import { liveRows, type Provocation } from './conformance/live-rows.ts';
import { ask, askWithAssertion, type Target } from './conformance/target.ts';
import { send } from './https-client.ts';

const tenant = 'ffff0000-0000-4000-8000-000000000001';
const clientId = 'ffff0000-0000-4000-8000-000000000002';
const apiId = 'ffff0000-0000-4000-8000-000000000003';
const disabledId = 'ffff0000-0000-4000-8000-000000000004';
const bareId = 'ffff0000-0000-4000-8000-000000000005';
const guid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const dayMs = 86_400_000;

let entra: LocalEntra;
let target: Target;
let pair: CertifiedKey;
let second: CertifiedKey;
let old: CertifiedKey;
let issuerServer: Server;
let issuer: string;

beforeAll(async () => {
  [pair, second, old] = await Promise.all([
    makeCertificate(),
    makeCertificate(),
    makeCertificate(Date.now() - 1900 * dayMs),
  ]);
  const jwk = { ...createPublicKey(pair.key).export({ format: 'jwk' }), kid: 'known', use: 'sig' };
  issuerServer = createServer((request, response) => {
    const document = request.url === '/keys' ? { keys: [jwk] } : { jwks_uri: `${issuer}/keys` };
    response.end(JSON.stringify(document));
  });
  issuerServer.listen(0, '127.0.0.1');
  await once(issuerServer, 'listening');
  issuer = `http://127.0.0.1:${(issuerServer.address() as AddressInfo).port}`;
  const appRoles = [{ value: 'read' }];
  entra = await startLocalEntra({
    seed: {
      tenants: [
        {
          id: tenant,
          displayName: 'Conformance',
          applications: [
            {
              name: 'api',
              appId: apiId,
              identifierUris: ['api://conformance'],
              requestedAccessTokenVersion: 2,
              optionalClaims: ['idtyp'],
              appRoles,
            },
            { name: 'old', identifierUris: ['api://old'], appRoles },
            { name: 'closed', identifierUris: ['api://closed'], appRoleAssignmentRequired: true },
            {
              name: 'disabled',
              appId: disabledId,
              accountEnabled: false,
              identifierUris: ['api://disabled'],
            },
            { name: 'bare', appId: bareId },
            { name: 'bare-one', identifierUris: ['api://bare-one'] },
            { name: 'bare-two', identifierUris: ['api://bare-two'], requestedAccessTokenVersion: 2 },
            {
              name: 'client',
              appId: clientId,
              generatedSecret: true,
              secrets: [{ value: 'expired secret', endDateTime: '2020-01-01T00:00:00Z' }],
              certificates: [pair, old].map(({ certificate }) => ({ pem: certificate })),
              federatedCredentials: [
                { name: 'known', issuer, subject: 'me' },
                { name: 'gone', issuer: 'http://127.0.0.1:1', subject: 'me' },
              ],
              grantedRoles: ['api', 'old'].map((resource) => ({ resource, role: 'read' })),
            },
          ],
        },
      ],
    },
  });
  target = {
    tenant,
    clientId,
    secret: entra.secrets['client'] ?? '',
    api: 'api://conformance',
    send: (path, { body, ...options } = {}) => send(entra, path, options, body),
  };
});
afterAll(async () => {
  await entra.close();
  issuerServer.close();
});

const now = (): number => Math.floor(Date.now() / 1000);
const asserted = (
  options: Partial<Parameters<typeof makeAssertion>[1]> = {},
  signer = pair,
  changes: Record<string, string> = {},
) => {
  const audience = `${entra.origin}/${tenant}/oauth2/v2.0/token`;
  return askWithAssertion(target, makeAssertion(signer, { clientId, audience, ...options }), changes);
};
const federated = (claims: object, kid = 'known', changes: Record<string, string> = {}) => {
  const common = { iss: issuer, sub: 'me', aud: 'api://AzureADTokenExchange', iat: now(), exp: now() + 600 };
  const token = makeJwt({ alg: 'RS256', kid }, { ...common, ...claims }, pair.key);
  return askWithAssertion(target, token, changes);
};

const struck = (status: number) => {
  entra.faults.add({ endpoint: 'token', status, count: 1 });
  return ask(target);
};

/** Rows that need a directory made for them. */
const localRows = {
  expiredSecret: () => ask(target, { client_secret: 'expired secret' }),
  disabledApplication: () => ask(target, { client_id: disabledId }),
  disabledResource: () => ask(target, { scope: 'api://disabled/.default' }),
  transient: () => struck(503),
  tenantThrottled: () => struck(429),
  notAssigned: () => ask(target, { scope: 'api://closed/.default' }),
  assertionKeyNotFound: () => asserted({}, second),
  assertionKeyExpired: () => asserted({}, old),
  assertionBadSignature: () =>
    askWithAssertion(target, `${makeAssertion(pair, { clientId, audience: 'x' }).slice(0, -8)}AAAAAAAA`),
  assertionNotInForce: () => asserted({ nowSeconds: now() - 7200 }),
  assertionOfAnotherClient: () => asserted({ claims: { iss: bareId } }),
  assertionAudience: () => asserted({ audience: 'https://login.example/' }),
  noFederatedCredential: () => federated({}, 'known', { client_id: bareId }),
  federatedIssuer: () => federated({ iss: `${issuer}/` }),
  federatedAudience: () => federated({ aud: 'other' }),
  federatedSubject: () => federated({ sub: 'other' }),
  federatedKeyNotFound: () => federated({}, 'unknown'),
  issuerUnavailable: () => federated({ iss: 'http://127.0.0.1:1' }),
} as const satisfies Omit<Record<StsErrorCause, Provocation>, keyof typeof liveRows>;

const rows: Record<StsErrorCause, Provocation> = { ...liveRows, ...localRows };

describe('every row of the table of errors', () => {
  test.each(Object.keys(errorTable) as StsErrorCause[])('%s', async (reason) => {
    const answer = await rows[reason](target);
    const [number, status, error, text] = expectations[reason];
    const { errorPage } = errorTable[reason];
    expect(answer.status).toBe(status);
    expect(answer.body['error_description']).toContain(text);
    expect(answer.body).toEqual({
      error,
      error_description: expect.stringMatching(
        new RegExp(`^AADSTS${number}: .+ Trace ID: \\S+ Correlation ID: \\S+ Timestamp: \\S+ \\S+Z$`),
      ),
      error_codes: [number],
      timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ$/),
      trace_id: expect.stringMatching(guid),
      correlation_id: expect.stringMatching(guid),
      ...(errorPage && { error_uri: `https://login.microsoftonline.com/error?code=${number}` }),
    });
    expect(answer.body['error_description']).not.toMatch(/[{}]|''/);
    expect(entra.requests.list()[0]).toMatchObject({
      reason,
      explanation: expect.stringContaining('refused, because'),
    });
  });

  test('echoes the client-request-id as correlation id', async () => {
    const id = 'ffff0000-0000-4000-8000-0000000000aa';
    const { body } = await ask(target, { client_secret: '', 'client-request-id': id });
    expect(body['correlation_id']).toBe(id);
  });
});

const time = expect.any(Number);
const opaque = expect.stringMatching(/^[\w.-]{16,}$/);
const commonClaims = {
  aio: opaque,
  exp: time,
  iat: time,
  nbf: time,
  oid: expect.stringMatching(guid),
  rh: opaque,
  roles: ['read'],
  sub: expect.stringMatching(guid),
  tid: tenant,
  uti: opaque,
  xms_ftd: opaque,
};

const requiredInBoth = ['aio', 'aud', 'exp', 'iat', 'iss', 'nbf', 'oid', 'rh', 'sub', 'tid', 'uti', 'ver'];
/** What a token of each version holds in Entra whatever was granted, by a capture and its documentation. */
const requiredInVersionTwo = [...requiredInBoth, 'azp', 'azpacr', 'xms_ftd'];
const requiredInVersionOne = [...requiredInBoth, 'appid', 'appidacr', 'idp'];

const claimsFor = async (scope: string) => {
  const { decodeJwt, decodeProtectedHeader } = await import('jose');
  const { status, body } = await ask(target, { scope });
  expect(status).toBe(200);
  const token = String(body['access_token']);
  return { header: decodeProtectedHeader(token), claims: decodeJwt(token) };
};

describe('every claim', () => {
  test('of a token of version 2', async () => {
    const { header, claims } = await claimsFor('api://conformance/.default');
    expect(header).toEqual({ typ: 'JWT', alg: 'RS256', kid: expect.any(String) });
    expect(claims).toEqual({
      ...commonClaims,
      aud: apiId,
      azp: clientId,
      azpacr: '1',
      idtyp: 'app',
      iss: `${entra.origin}/${tenant}/v2.0`,
      ver: '2.0',
    });
    expect(claims.sub).toBe(claims['oid']);
    expect(claims.iat).toBe(claims.nbf);
  });

  test('of a token of version 1', async () => {
    const { header, claims } = await claimsFor('api://old/.default');
    expect(header).toEqual({ typ: 'JWT', alg: 'RS256', kid: header.kid, x5t: header.kid });
    const issuer = `${entra.origin}/${tenant}/`;
    expect(claims).toEqual({
      ...commonClaims,
      aud: 'api://old',
      appid: clientId,
      appidacr: '1',
      idp: issuer,
      iss: issuer,
      ver: '1.0',
    });
  });

  test.each([
    ['api://bare-two', [...requiredInVersionTwo]],
    ['api://bare-one', [...requiredInVersionOne, 'xms_ftd']],
  ])('of a token for %s without a role, and no other', async (api, names) => {
    const { claims } = await claimsFor(`${api}/.default`);
    expect(Object.keys(claims).toSorted()).toEqual(names.toSorted());
  });

  test('lives for 60 to 90 minutes, and never the same', async () => {
    const lives = await Promise.all(
      Array.from({ length: 20 }, async () => {
        const { claims } = await claimsFor('api://conformance/.default');
        return Number(claims.exp) - Number(claims.nbf) - 300;
      }),
    );
    expect(Math.min(...lives)).toBeGreaterThanOrEqual(3600);
    expect(Math.max(...lives)).toBeLessThanOrEqual(5400);
    expect(new Set(lives).size).toBeGreaterThan(1);
  });
});

const live = {
  tenant: process.env['ENTRA_LIVE_TENANT'] ?? '',
  clientId: process.env['ENTRA_LIVE_CLIENT_ID'] ?? '',
  secret: process.env['ENTRA_LIVE_CLIENT_SECRET'] ?? '',
  api: process.env['ENTRA_LIVE_API'] ?? '',
};
const isLive = Object.values(live).every((value) => value !== '');
const describeLive = isLive ? describe : describe.skip;
const why = isLive ? '' : ' (SKIPPED: set ENTRA_LIVE_TENANT, _CLIENT_ID, _CLIENT_SECRET and _API)';

describeLive(`the same rows at a live tenant${why}`, () => {
  const liveTarget: Target = {
    ...live,
    send: async (path, request = {}) => {
      const response = await fetch(`https://login.microsoftonline.com${path}`, request);
      return { status: response.status, body: (await response.json()) as Record<string, unknown> };
    },
  };

  test.each(Object.keys(liveRows) as (keyof typeof liveRows)[])('%s', async (reason) => {
    const [number, status, error] = expectations[reason];
    const promised = { status, body: { error, error_codes: [number] } };
    expect(await liveRows[reason](liveTarget)).toMatchObject(promised);
  });

  test('claims of a token', async () => {
    const { decodeJwt } = await import('jose');
    const { body } = await ask(liveTarget);
    const claims = decodeJwt(String(body['access_token']));
    const ofVersion = claims['ver'] === '2.0' ? requiredInVersionTwo : requiredInVersionOne;
    expect(Object.keys(claims)).toEqual(expect.arrayContaining(ofVersion));
    const known = new Set([...ofVersion, 'idtyp', 'roles', 'xms_ftd', 'wids']);
    expect(Object.keys(claims).filter((name) => !known.has(name))).toEqual([]);
  });
});
