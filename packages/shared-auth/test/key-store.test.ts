import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { createEntraNetwork, createTokenVerifier, type TokenVerifier } from '../src/index.ts';
import { apiClientId, createKey, mint, startTestIssuer, tenantId, type TestIssuer } from './test-issuer.ts';

const minute = 60_000;
const hour = 60 * minute;

let issuer: TestIssuer;
let now: number;
let verifier: TokenVerifier;
let underWay: { fetches: number };

beforeEach(async () => {
  issuer = await startTestIssuer();
  now = Date.now();
  const network = createEntraNetwork({ ca: issuer.ca, timeoutMs: 1500 });
  underWay = { fetches: 0 };
  verifier = createTokenVerifier({
    authorityHost: issuer.origin,
    tenantId,
    clientId: apiClientId,
    network: {
      ...network,
      async request(...args) {
        underWay.fetches += 1;
        try {
          return await network.request(...args);
        } finally {
          underWay.fetches -= 1;
        }
      },
    },
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

/** A fetch in the background has failed when nothing is under way any more. */
const settled = async (): Promise<void> => {
  while (underWay.fetches > 0) await new Promise((resolve) => setImmediate(resolve));
};

test('a hundred cold callers cause one fetch, with the headers of the first', async () => {
  const tokens = Array.from({ length: 100 }, () => token());
  await Promise.all(tokens.map((each) => verifier.verify(each, { headers: { 'x-request-id': 'r-1' } })));
  expect(issuer.keyFetches).toHaveLength(1);
  expect(issuer.keyFetches[0]).toMatchObject({ 'x-request-id': 'r-1' });
});

test('a flood of unknown kids causes one fetch in five minutes and fails no valid token', async () => {
  await verifier.ready();
  const forge = (kid: string): string => mint(issuer, now, {}, createKey(kid, 1024));
  await expect(verifier.verify(forge('k'))).rejects.toMatchObject({ status: 401, check: 'key_id' });
  for (let round = 0; round < 50; round += 1) {
    // Not known to be bad: only its fetch has been used up.
    await expect(verifier.verify(forge(`k${round}`))).rejects.toMatchObject({ status: 503 });
    await verifier.verify(token());
  }
  await expect(verifier.verify(forge('k'))).rejects.toMatchObject({ status: 401, check: 'key_id' });
  expect(issuer.keyFetches).toHaveLength(2);
  now += 5 * minute;
  await expect(verifier.verify(forge('k'))).rejects.toMatchObject({ status: 401 });
  expect(issuer.keyFetches).toHaveLength(3);
}, 20_000);

test('a rotation in a flood of unknown kids: new tokens have to wait, but are never called invalid', async () => {
  await verifier.ready();
  const forge = (): string => mint(issuer, now, {}, createKey(undefined, 1024));
  await expect(verifier.verify(forge())).rejects.toMatchObject({ status: 401 });
  const old = token();
  issuer.keys = [createKey()];
  const outcomes = new Set<unknown>();
  for (let elapsed = 0; elapsed < 290; elapsed += 10) {
    await verifier.verify(forge()).catch(() => {});
    const outcome = verifier.verify(token()).catch(({ status }: { status: number }) => status);
    outcomes.add(await outcome);
    now += 10_000;
  }
  expect([...outcomes]).toEqual([503]);
  expect(issuer.keyFetches).toHaveLength(2);
  await expect(verifier.verify(token())).rejects.toMatchObject({ headers: { 'Retry-After': '10' } });
  now += 10_000;
  await verifier.verify(forge()).catch(() => {});
  await verifier.verify(token());
  // The name of a withdrawn key is known to be gone.
  await expect(verifier.verify(old)).rejects.toMatchObject({ status: 401, check: 'key_id' });
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
  expect(verifier.recall(each)).toBe(principal);
  now += hour + 1000;
  expect(verifier.recall(each)).toBeUndefined();
  await verifier.verify(each);
  now += 5 * minute;
  await expect(verifier.verify(each)).rejects.toMatchObject({ check: 'expired' });
});

test('each of several tokens that are used by turns is its own caller', async () => {
  const callers = ['1', '2'].map((digit) => `a910000${digit}-0000-4000-8000-00000000000${digit}`);
  const tokens = callers.map((azp) => mint(issuer, now, { azp }, issuer.keys[0]));
  for (const each of tokens) await verifier.verify(each);
  const turns = [0, 1, 0, 1, 1, 0, 0];
  const recalled = turns.map((turn) => verifier.recall(tokens[turn] as string)?.applicationId);
  expect(recalled).toEqual(turns.map((turn) => callers[turn]));
  expect(verifier.stats().hits).toBe(turns.length);
});

const published = (change: Record<string, unknown>): TestIssuer['keysReply'] => ({
  body: JSON.stringify({ keys: [{ ...issuer.jwks().keys[0], ...change }] }),
});

test.each<[string, Record<string, unknown>]>([
  ['exponent 3', { e: 'Aw' }],
  ['an even exponent', { e: 'AQAC' }],
  ['an endless exponent', { e: Buffer.alloc(64, 255).toString('base64url') }],
  ['more than 8192 bits', { n: Buffer.alloc(1026, 255).toString('base64url') }],
])('a key with %s is none', async (_, change) => {
  issuer.keysReply = published(change);
  await expect(verifier.verify(token())).rejects.toMatchObject({ status: 503 });
});

test('a set of more than a thousand keys is none', async () => {
  const [key] = issuer.jwks().keys;
  const keys = Array.from({ length: 1000 }, (_, index) => ({ ...key, kid: `k${index}` }));
  issuer.keysReply = { body: JSON.stringify({ keys: [...keys, key] }) };
  await expect(verifier.verify(token())).rejects.toMatchObject({ status: 503 });
  issuer.keysReply = { body: JSON.stringify({ keys: [...keys.slice(1), key] }) };
  now += 1000;
  await verifier.verify(token());
});

test('a name of 256 characters is the longest', async () => {
  const [signer = createKey()] = issuer.keys;
  issuer.keys = [256, 257].map((length) => ({ ...signer, kid: 'k'.repeat(length) }));
  await verifier.verify(token(issuer.keys[0]));
  await expect(verifier.verify(token(issuer.keys[1]))).rejects.toMatchObject({ check: 'key_id' });
});

test("headers of a caller that are not its request's name do not go along", async () => {
  const headers = {
    accept: 'text/html',
    authorization: 'Bearer x',
    traceparent: 'a\nb',
    'X-Request-Id': 'r',
  };
  await verifier.verify(token(), { headers });
  const [fetched] = issuer.keyFetches;
  expect(fetched).toMatchObject({ accept: 'application/json', 'x-request-id': 'r' });
  expect(fetched).not.toHaveProperty('authorization');
  expect(fetched).not.toHaveProperty('traceparent');
});

test('a remembered token of a withdrawn key ends when the set does, though nobody asks for another', async () => {
  const long = mint(issuer, now, { exp: Math.floor(now / 1000) + 28 * 3600 });
  await verifier.verify(long);
  now += 24.5 * hour;
  expect(verifier.recall(long)).toBeUndefined();
});

test('a remembered token lives through an hour of failing fetches, and no longer', async () => {
  const long = mint(issuer, now, { exp: Math.floor(now / 1000) + 28 * 3600 });
  await verifier.verify(long);
  issuer.keysReply = { status: 503, body: '' };
  now += 24.5 * hour;
  await verifier.verify(long);
  expect(verifier.recall(long)).toBeDefined();
  now += 0.6 * hour;
  expect(verifier.recall(long)).toBeUndefined();
});

test('in an outage a service with keys asks once a minute', async () => {
  await verifier.verify(token());
  issuer.keysReply = { status: 503, body: '' };
  now += hour;
  for (let second = 0; second < 120; second += 1) {
    await verifier.verify(token());
    await settled();
    now += 1000;
  }
  expect(issuer.keyFetches).toHaveLength(3);
});

test('in an outage a service without keys asks once a second', async () => {
  issuer.keysReply = { status: 503, body: '' };
  const each = token();
  for (let call = 0; call < 20; call += 1) {
    await expect(verifier.verify(each)).rejects.toMatchObject({ status: 503 });
    now += 100;
  }
  expect(issuer.keyFetches).toHaveLength(2);
});

test('a clock that is set back prolongs no pause', async () => {
  issuer.keysReply = { status: 503, body: '' };
  await expect(verifier.verify(token())).rejects.toMatchObject({ status: 503 });
  issuer.keysReply = undefined;
  now -= hour;
  await verifier.verify(token());
  await verifier.verify(mint(issuer, now, {}, createKey('unknown'))).catch(() => {});
  now -= hour;
  issuer.keys = [createKey()];
  await verifier.verify(token());
});

test('no more tokens are remembered than allowed', async () => {
  const small = createTokenVerifier({
    authorityHost: issuer.origin,
    tenantId,
    clientId: apiClientId,
    network: createEntraNetwork({ ca: issuer.ca }),
    clock: () => now,
    maxCachedTokens: 4,
  });
  for (let count = 0; count < 20; count += 1) await small.verify(token());
  expect(small.stats().cachedTokens).toBeGreaterThan(0);
  expect(small.stats().cachedTokens).toBeLessThanOrEqual(4);
});
