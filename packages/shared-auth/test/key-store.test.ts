import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { createEntraNetwork, createTokenVerifier, type TokenVerifier } from '../src/index.ts';
import { apiClientId, createKey, mint, startTestIssuer, tenantId, type TestIssuer } from './test-issuer.ts';

const minute = 60_000;
const hour = 60 * minute;

let issuer: TestIssuer;
let now: number;
let verifier: TokenVerifier;

beforeEach(async () => {
  issuer = await startTestIssuer();
  now = Date.now();
  verifier = createTokenVerifier({
    authorityHost: issuer.origin,
    tenantId,
    clientId: apiClientId,
    network: createEntraNetwork({ ca: issuer.ca, timeoutMs: 1500 }),
    clock: () => now,
  });
});

afterEach(() => issuer.close());

const token = (key = issuer.keys[0]): string => mint(issuer, now, {}, key);

/** A background fetch has been answered when a foreground one that joins it is. */
const settleBackground = async (): Promise<void> => {
  const unknown = mint(issuer, now, {}, createKey('settle'));
  await verifier.verify(unknown).catch(() => {});
};

test('a hundred cold callers cause one fetch, with the headers of the first', async () => {
  const tokens = Array.from({ length: 100 }, () => token());
  await Promise.all(tokens.map((each) => verifier.verify(each, { headers: { 'x-request-id': 'r-1' } })));
  expect(issuer.keyFetches).toHaveLength(1);
  expect(issuer.keyFetches[0]).toMatchObject({ 'x-request-id': 'r-1' });
});

test('a flood of unknown kids causes one fetch in five minutes and fails no valid token', async () => {
  await verifier.ready();
  for (let round = 0; round < 50; round += 1) {
    const forged = mint(issuer, now, {}, { ...createKey(`k${round}`, 1024) });
    await expect(verifier.verify(forged)).rejects.toMatchObject({ status: 401, check: 'key_id' });
    await verifier.verify(token());
  }
  expect(issuer.keyFetches).toHaveLength(2);
  now += 5 * minute;
  await expect(verifier.verify(mint(issuer, now, {}, createKey('k')))).rejects.toMatchObject({ status: 401 });
  expect(issuer.keyFetches).toHaveLength(3);
}, 20_000);

test('tokens for somebody else neither fetch keys nor delay a rotation', async () => {
  for (const claims of [{ aud: 'other' }, { tid: 'other' }, { iss: 'other' }, { exp: 0 }]) {
    const stray = mint(issuer, now, claims, createKey('stray'));
    await expect(verifier.verify(stray)).rejects.toMatchObject({ status: 401 });
  }
  expect(issuer.keyFetches).toHaveLength(0);
  await verifier.verify(token());
  await verifier.verify(mint(issuer, now, { aud: 'other' }, createKey('stray'))).catch(() => {});
  issuer.keys = [createKey()];
  await verifier.verify(token());
  expect(issuer.keyFetches).toHaveLength(2);
});

test('a new key is accepted at once, and a withdrawn one no longer, remembered tokens included', async () => {
  const old = token();
  await verifier.verify(old);
  expect(verifier.recall(old)).toBeDefined();
  issuer.keys = [createKey()];
  await verifier.verify(token());
  expect(verifier.recall(old)).toBeUndefined();
  await expect(verifier.verify(old)).rejects.toMatchObject({ check: 'key_id' });
});

test('an unchanged key keeps remembered tokens through a refresh', async () => {
  const kept = token();
  await verifier.verify(kept);
  issuer.keys = [createKey(), ...issuer.keys];
  await verifier.verify(token());
  expect(verifier.recall(kept)).toBeDefined();
});

test('after an hour the keys are fetched again in the background, by warm traffic too', async () => {
  const long = mint(issuer, now, { exp: Math.floor(now / 1000) + 28 * 3600 });
  await verifier.verify(long);
  now += hour;
  expect(verifier.recall(long)).toBeDefined();
  await settleBackground();
  expect(issuer.keyFetches).toHaveLength(2);
});

test.each<[string, TestIssuer['keysReply']]>([
  ['fails', { status: 503, body: '' }],
  ['hangs', 'hang'],
  ['is empty', { body: '{"keys":[]}' }],
  ['holds one name for two keys', undefined],
])('the last good keys serve when the refresh %s, for 25 hours', async (_, reply) => {
  await verifier.verify(token());
  const twice = createKey(issuer.keys[0]?.kid);
  const good = issuer.keys;
  issuer.keysReply = reply ?? {
    body: JSON.stringify({
      keys: [...issuer.jwks().keys, ...(() => ((issuer.keys = [twice]), issuer.jwks().keys))()],
    }),
  };
  issuer.keys = good;
  for (const elapsed of [2 * hour, 20 * hour, 2.9 * hour]) {
    now += elapsed;
    await verifier.verify(token());
  }
  now += 0.2 * hour;
  await expect(verifier.verify(token())).rejects.toMatchObject({ status: 503, code: 'identity_unavailable' });
  issuer.keysReply = undefined;
  now += 1000;
  await verifier.verify(token());
});

test('a token signed by a key that cannot be looked up is not called invalid', async () => {
  await verifier.verify(token());
  issuer.keysReply = { status: 500, body: '' };
  await expect(verifier.verify(token(createKey()))).rejects.toMatchObject({ status: 503 });
});

test('keys that may not sign tokens are left out', async () => {
  const [good] = issuer.jwks().keys;
  issuer.keys = [createKey('small', 1024)];
  const small = issuer.jwks().keys[0];
  const keys = [
    { ...good, kid: 'enc', use: 'enc' },
    { ...good, kid: 'unmarked', use: undefined },
    { ...good, kid: 'ps', alg: 'PS256' },
    { ...good, kid: 'other', issuer: 'https://login.microsoftonline.com/other/v2.0' },
    { kty: 'oct', use: 'sig', kid: 'oct', k: 'AAAA' },
    small,
    good,
  ];
  issuer.keysReply = { body: JSON.stringify({ keys }) };
  const small1024 = mint(issuer, now, {}, issuer.keys[0]);
  await expect(verifier.verify(small1024)).rejects.toMatchObject({ check: 'key_id' });
});

test('a key is good for the issuer alone that it is bound to', async () => {
  const [key] = issuer.jwks().keys;
  issuer.keysReply = {
    body: JSON.stringify({ keys: [{ ...key, issuer: 'https://elsewhere.example/v2.0' }] }),
  };
  await expect(verifier.verify(token())).rejects.toMatchObject({ check: 'key_issuer' });
  issuer.keysReply = {
    body: JSON.stringify({
      keys: [{ ...key, kid: 'templated', issuer: `${issuer.origin}/{tenantid}/v2.0` }],
    }),
  };
  const [signer] = issuer.keys;
  await verifier.verify(mint(issuer, now, {}, { ...(signer ?? createKey()), kid: 'templated' }));
});

test('principals are frozen and end with their token', async () => {
  const each = token();
  const principal = await verifier.verify(each);
  expect(Object.isFrozen(principal) && Object.isFrozen(principal.roles)).toBe(true);
  expect(Object.isFrozen(principal.claims)).toBe(true);
  principal.expiresAt.setFullYear(3000);
  expect(principal.expiresAt.getTime()).toBe(Math.floor(now / 1000 + 3600) * 1000);
  now += hour + 1000;
  expect(verifier.recall(each)).toBeUndefined();
  await verifier.verify(each);
  now += 5 * minute;
  await expect(verifier.verify(each)).rejects.toMatchObject({ check: 'expired' });
});
