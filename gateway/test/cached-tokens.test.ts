import { createTokenVerifier } from '@countersign/shared-auth';
import { afterEach, expect, test } from '@jest/globals';
import {
  apiClientId,
  createStaticIssuer,
  mint,
  tenantId,
} from '../../packages/shared-auth/test/test-issuer.ts';
import { startGateway, startUpstream, stopAll } from './start-gateway.ts';

afterEach(stopAll);

const otherApi = '55555555-5555-4555-8555-555555555555';

/** A gateway with shared-auth's own verifiers, that of the records having verified and remembered a reader's token. */
const start = async () => {
  const issuer = createStaticIssuer();
  let nowMs = Date.now();
  const verifierFor = (clientId: string) =>
    createTokenVerifier({
      authorityHost: issuer.origin,
      tenantId,
      clientId,
      network: issuer.network,
      clock: () => nowMs,
    });
  const records = verifierFor(apiClientId);
  const heard: string[] = [];
  const origin = await startUpstream((incoming, outgoing) => {
    heard.push(`${incoming.method} ${incoming.url}`);
    outgoing.end();
  });
  const route = (path: string, api: string, policy: object) => ({
    path,
    upstream: 'u',
    access: { api, policy },
  });
  const { url } = await startGateway({
    verifiers: new Map([
      ['records', records],
      ['other', verifierFor(otherApi)],
    ]),
    table: {
      upstreams: { u: { addresses: [origin] } },
      routes: [
        route('/records', 'records', {
          byMethod: { GET: { appRole: 'read' }, POST: { appRole: 'write' } },
        }),
        route('/records/admin', 'records', { allAppRoles: ['read', 'admin'] }),
        route('/partners', 'records', { applications: [otherApi] }),
        route('/other', 'other', { appRole: 'read' }),
      ],
    },
  });
  const authorization = `Bearer ${mint(issuer, nowMs, { roles: ['read'] })}`;
  const ask = (method: string, path: string) => fetch(url + path, { method, headers: { authorization } });
  expect((await ask('GET', '/records/1')).status).toBe(200);
  expect(records.stats()).toMatchObject({ misses: 1, cachedTokens: 1 });
  return { ask, records, heard, pass: (ms: number) => (nowMs += ms) };
};

test.each([
  ['for another method', 'POST', '/records/1', 403, 'insufficient_role'],
  ['for a method that the policy does not name', 'DELETE', '/records/1', 403, 'caller_not_allowed'],
  ['for a route below it', 'GET', '/records/admin', 403, 'insufficient_role'],
  ['for a route of certain applications', 'GET', '/partners', 403, 'caller_not_allowed'],
  ['for another API', 'GET', '/other', 401, 'invalid_token'],
])(
  'a token that is remembered is judged anew %s, and the upstream hears nothing',
  async (_, method, path, status, code) => {
    const { ask, records, heard } = await start();
    const refused = await ask(method, path);
    expect(refused.status).toBe(status);
    expect(await refused.json()).toMatchObject({ code });
    expect(heard).toEqual(['GET /records/1']);
    // It was not verified again, and still opens what it did.
    expect((await ask('GET', '/records/2')).status).toBe(200);
    expect(records.stats()).toMatchObject({ misses: 1, hits: status === 403 ? 2 : 1 });
    expect(heard).toEqual(['GET /records/1', 'GET /records/2']);
  },
);

test('a token that is remembered ends with its time', async () => {
  const { ask, heard, pass } = await start();
  expect((await ask('GET', '/records/2')).status).toBe(200);
  pass(2 * 3_600_000);
  const refused = await ask('GET', '/records/3');
  expect(refused.status).toBe(401);
  expect(await refused.json()).toMatchObject({ code: 'invalid_token' });
  expect(heard).toEqual(['GET /records/1', 'GET /records/2']);
});
