import { expect, test } from '@jest/globals';
import { clouds, createTokenVerifier, explainToken, type ExplainOptions } from '../src/index.ts';
import { apiClientId, createKey, createStaticIssuer, mint, role, tenantId } from './test-issuer.ts';

const now = Date.parse('2026-11-22T20:00:00Z');
const issuer = createStaticIssuer();
const keys = issuer.keys.map(({ kid, publicKey }) => ({
  ...publicKey.export({ format: 'jwk' }),
  use: 'sig',
  kid,
  issuer: issuer.issuer,
}));
const options: ExplainOptions = {
  authorityHost: clouds.public,
  tenantId,
  clientId: apiClientId,
  keys,
  policy: { appRole: role },
  nowMs: now,
};
const explain = (claims: Record<string, unknown>, change: Partial<ExplainOptions> = {}) =>
  explainToken(mint(issuer, now, claims), { ...options, ...change });
const failures = (claims: Record<string, unknown>, change?: Partial<ExplainOptions>) =>
  explain(claims, change).checks.filter(({ verdict }) => verdict === 'failed');

test('a good token passes every check', () => {
  const { verdict, checks } = explain({});
  expect(verdict).toBe('accepted');
  expect(new Set(checks.map((each) => each.verdict))).toEqual(new Set(['passed']));
});

test('what cannot be judged is not called good', () => {
  const { verdict, checks } = explainToken(mint(issuer, now), {
    authorityHost: clouds.public,
    tenantId,
    clientId: apiClientId,
    nowMs: now,
  });
  expect(verdict).toBe('incomplete');
  const skipped = checks.filter((each) => each.verdict === 'skipped').map(({ check }) => check);
  expect(skipped).toEqual(['signature', 'key_issuer', 'policy']);
});

test('a v1 token is told what its API lacks', () => {
  const [version] = failures({
    ver: '1.0',
    iss: `https://sts.windows.net/${tenantId}/`,
    aud: `api://${apiClientId}`,
    appid: '33333333-3333-4333-8333-333333333333',
  });
  expect(version).toMatchObject({ check: 'version', found: '1.0', expected: ['2.0'] });
  expect(version?.cause).toContain('the API has no requestedAccessTokenVersion 2');
});

test.each<[string, Record<string, unknown>, RegExp]>([
  ['audience', { aud: 'https://graph.microsoft.com' }, /token for Microsoft Graph/],
  ['audience', { aud: `api://${apiClientId}` }, /never the App ID URI/],
  ['tenant', { tid: '99999999-9999-4999-8999-999999999999' }, /another tenant/],
  ['app_only', { scp: 'read' }, /client credentials/],
  ['app_only', { nonce: 'n' }, /id token/],
  ['policy', { roles: undefined }, /granted no app role/],
  ['policy', { roles: ['other'] }, /other roles/],
  ['expired', { exp: 0 }, /longer than it lives/],
])('a failure of %s has a cause', (check, claims, cause) => {
  const failure = failures(claims).find((each) => each.check === check);
  expect(failure?.cause).toMatch(cause);
});

test('a forged and an unknown signature differ', () => {
  const [key = createKey()] = issuer.keys;
  const forged = explainToken(mint(issuer, now, {}, createKey(key.kid)), options);
  expect(forged.checks.find(({ check }) => check === 'signature')?.cause).toMatch(/forged/);
  const unknown = explainToken(mint(issuer, now, {}, createKey('k')), options);
  expect(unknown.checks.find(({ check }) => check === 'signature')).toMatchObject({
    verdict: 'failed',
    found: 'k',
    expected: [key.kid],
  });
});

test('garbage is explained too', () => {
  const { verdict, checks, claims } = explainToken('garbage', options);
  expect([verdict, claims]).toEqual(['refused', undefined]);
  expect(checks.find((each) => each.verdict === 'failed')?.check).toBe('structure');
});

test('it agrees with the verifier', async () => {
  const verifier = createTokenVerifier({
    authorityHost: clouds.public,
    tenantId,
    clientId: apiClientId,
    network: issuer.network,
    clock: () => now,
  });
  const changes = [
    {},
    { exp: 0 },
    { aud: 'x' },
    { tid: 'x' },
    { ver: '3' },
    { oid: 1 },
    { uti: '' },
    { iat: null },
  ];
  for (const change of changes) {
    const token = mint(issuer, now, change);
    const decided = await verifier.verify(token).then(
      () => undefined,
      (error: { check: string }) => error.check,
    );
    const { checks } = explainToken(token, options);
    expect(checks.find(({ verdict }) => verdict === 'failed')?.check).toBe(decided);
  }
});
