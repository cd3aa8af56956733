/** The security checklist for an API that takes Entra's app-only tokens, row by row. */
import { describe, expect, test } from '@jest/globals';
import { createHash } from 'node:crypto';
import {
  challengeForClaims,
  clouds,
  createEntraNetwork,
  createTokenVerifier,
  refusalOf,
  type TokenVerifier,
  type TokenVerifierOptions,
} from '../src/index.ts';
import { bearerToken } from '../src/bearer.ts';
import {
  apiClientId,
  appClaims,
  callerClientId,
  createKey,
  createStaticIssuer,
  mint,
  role,
  signHmac,
  signRaw,
  startTestIssuer,
  tenantId,
} from './test-issuer.ts';

const now = Date.parse('2026-11-22T20:00:00Z');
const seconds = now / 1000;
const issuer = createStaticIssuer();
const [key = createKey()] = issuer.keys;
const otherTenant = '55555555-5555-4555-8555-555555555555';

type Change = Partial<TokenVerifierOptions>;
const createVerifier = (change: Change = {}): TokenVerifier => {
  const { tenants } = change;
  return createTokenVerifier({
    authorityHost: issuer.origin,
    clientId: apiClientId,
    network: issuer.network,
    clock: () => now,
    ...(tenants === undefined && { tenantId }),
    ...change,
  });
};
const header = { typ: 'JWT', alg: 'RS256', kid: key.kid };
const token = (claims: Record<string, unknown> = {}): string => mint(issuer, now, claims);
const v1Claims = (claims: Record<string, unknown> = {}): Record<string, unknown> => ({
  ver: '1.0',
  iss: `https://sts.windows.net/${tenantId}/`,
  aud: `api://${apiClientId}`,
  azp: undefined,
  azpacr: undefined,
  appid: callerClientId,
  appidacr: '2',
  ...claims,
});

const signed = (change: object): string =>
  signRaw({ ...header, ...change }, appClaims(issuer, now), key.privateKey);

const accepted = async (given: string, change?: Change) => createVerifier(change).verify(given);
const refusedBy = async (given: string, change?: Change): Promise<unknown> =>
  createVerifier(change)
    .verify(given)
    .then(
      () => 'accepted',
      (error: unknown) => (error as { check?: string }).check ?? error,
    );

test('1 the algorithm comes from us, not from the token, and the key has to fit', async () => {
  const secret = key.publicKey.export({ format: 'pem', type: 'spki' });
  for (const alg of ['none', 'HS256', 'HS384', 'RS384', 'RS512', 'PS256', 'ES256', 'EdDSA']) {
    const forged = signHmac({ ...header, alg }, appClaims(issuer, now), secret);
    expect(await refusedBy(forged)).toBe('algorithm');
  }
});

test('2 keys and addresses in the header are not looked at, and kid is only a name', async () => {
  const good = signRaw(
    { ...header, jku: 'https://evil.example', x5u: 'https://evil.example', jwk: {}, x5c: ['AA'] },
    appClaims(issuer, now),
    key.privateKey,
  );
  const fetchedBefore = issuer.fetched.length;
  await accepted(good);
  expect(issuer.fetched.slice(fetchedBefore)).toEqual([`${clouds.public}/${tenantId}/discovery/v2.0/keys`]);
});

test('3 crit, b64, JSON serialization, other than three parts, respelled base64url and long tokens', async () => {
  const good = token();
  const [head, payload, signature] = good.split('.');
  expect(await refusedBy(signed({ crit: ['exp'] }))).toBe('critical');
  expect(await refusedBy(signed({ b64: false }))).toBe('critical');
  expect(await refusedBy(JSON.stringify({ protected: head, payload, signature }))).toBe('structure');
  expect(await refusedBy(`${good}.AAAA.AAAA`)).toBe('structure');
  expect(await refusedBy(`${good}=`)).toBe('encoding');
  expect(await refusedBy(token({ pad: 'x'.repeat(16 * 1024) }))).toBe('size');
});

describe('4 the key set', () => {
  test('is fetched over https alone', async () => {
    await expect(createEntraNetwork().request('http://127.0.0.1:1/keys')).rejects.toThrow('not https');
    expect(() => createVerifier({ authorityHost: 'http://localhost' })).toThrow(TypeError);
  });

  test('is not fetched through a redirect, nor without end', async () => {
    const real = await startTestIssuer();
    const network = createEntraNetwork({ ca: real.ca, maxBodyBytes: 1000 });
    const url = `${real.origin}/${tenantId}/discovery/v2.0/keys`;
    real.keysReply = { status: 302, headers: { location: `${real.origin}/elsewhere` }, body: '' };
    expect((await network.request(url)).status).toBe(302);
    real.keysReply = { body: 'x'.repeat(1001) };
    await expect(network.request(url)).rejects.toThrow('larger than 1000 bytes');
    await real.close();
  });

  test('gives keys of 2048 bits or more alone', async () => {
    const weak = createKey('weak', 1024);
    const both = createStaticIssuer(clouds.public, [key, weak]);
    expect(await refusedBy(mint(issuer, now, {}, weak), { network: both.network })).toBe('key_id');
    const onlyWeak = createStaticIssuer(clouds.public, [weak]);
    const outcome = await refusedBy(mint(issuer, now, {}, weak), { network: onlyWeak.network });
    expect(outcome).toMatchObject({ status: 503 });
  });

  test('is refused when one name stands for two keys', async () => {
    const twice = createStaticIssuer(clouds.public, [key, createKey(key.kid)]);
    expect(await refusedBy(token(), { network: twice.network })).toMatchObject({ status: 503 });
  });
});

describe('5 the issuer follows from version and tenant', () => {
  test('v2 exactly, v1 only where enabled', async () => {
    const v1 = token(v1Claims());
    expect(await refusedBy(v1)).toBe('version');
    const principal = await accepted(v1, { versions: ['1.0', '2.0'] });
    expect(principal).toMatchObject({ applicationId: callerClientId, credential: 'certificate' });
    expect(await refusedBy(token(), { versions: ['1.0'] })).toBe('version');
  });

  test('an issuer of the other version is refused', async () => {
    const versions = ['1.0', '2.0'] as const;
    expect(await refusedBy(token({ iss: `https://sts.windows.net/${tenantId}/` }), { versions })).toBe(
      'issuer',
    );
    expect(await refusedBy(token(v1Claims({ iss: issuer.issuer })), { versions })).toBe('issuer');
  });

  test('v1 tokens are verified with the v1 key set', async () => {
    const before = issuer.fetched.length;
    await accepted(token(v1Claims()), { versions: ['1.0', '2.0'] });
    expect(issuer.fetched.slice(before)).toEqual([`${clouds.public}/${tenantId}/discovery/keys`]);
  });

  test.each(Object.entries(clouds))('in the cloud %s', async (_, origin) => {
    const cloud = createStaticIssuer(origin, [key]);
    const change = { authorityHost: origin, network: cloud.network };
    expect(await accepted(mint(cloud, now), change)).toMatchObject({ tenantId });
    expect(await refusedBy(token({ iss: `https://login.example/${tenantId}/v2.0` }), change)).toBe('issuer');
  });

  test('of several tenants, each with its own issuer', async () => {
    const network = createStaticIssuer(clouds.public, [key], `${clouds.public}/{tenantid}/v2.0`).network;
    const iss = `${clouds.public}/${otherTenant}/v2.0`;
    const guest = token({ tid: otherTenant, iss });
    const tenants = [tenantId, otherTenant];
    expect(await accepted(guest, { tenants, network })).toMatchObject({ tenantId: otherTenant });
    expect(await refusedBy(guest, { tenants: [tenantId, callerClientId], network })).toBe('tenant');
    expect(await refusedBy(token({ tid: otherTenant }), { tenants, network })).toBe('issuer');
    expect(await refusedBy(token({ iss }), { tenants, network })).toBe('issuer');
    expect(await accepted(guest, { tenants: 'any', network })).toMatchObject({ tenantId: otherTenant });
    expect(await refusedBy(token({ tid: 'common', iss }), { tenants: 'any', network })).toBe('tenant');
  });
});

test('6 a key signs for its own issuer alone, and keys of the API are asked for by appid', async () => {
  const elsewhere = createStaticIssuer(clouds.public, [key], `${clouds.public}/${otherTenant}/v2.0`);
  expect(await refusedBy(token(), { network: elsewhere.network })).toBe('key_issuer');
  const own = createStaticIssuer(clouds.public, [key]);
  await accepted(token(), { network: own.network, ownSigningKeys: true });
  expect(own.fetched[0]).toMatch(new RegExp(`/discovery/v2\\.0/keys\\?appid=${apiClientId}$`));
});

test('7 the audience: v2 the client id, v1 any App ID URI with or without slash, or the client id', async () => {
  expect(await refusedBy(token({ aud: `api://${apiClientId}` }))).toBe('audience');
  const v1 = { versions: ['1.0'], appIdUris: ['https://contoso.example/api'] } satisfies Change;
  await accepted(token(v1Claims({ aud: 'https://contoso.example/api' })), v1);
  await accepted(token(v1Claims({ aud: 'https://contoso.example/api/' })), v1);
  await accepted(token(v1Claims({ aud: apiClientId })), v1);
  expect(await refusedBy(token(v1Claims({ aud: 'https://contoso.example' })), v1)).toBe('audience');
});

test('8 exp, nbf and iat are there, finite, and within the skew', async () => {
  for (const name of ['exp', 'nbf', 'iat']) {
    expect(await refusedBy(token({ [name]: undefined }))).toBe('lifetime');
    expect(await refusedBy(token({ [name]: '1' }))).toBe('lifetime');
  }
  await accepted(token({ exp: seconds - 299 }));
  expect(await refusedBy(token({ exp: seconds - 300 }))).toBe('expired');
  expect(await refusedBy(token({ exp: seconds }), { skewSeconds: 0 })).toBe('expired');
  expect(await refusedBy(token({ nbf: seconds + 301 }))).toBe('not_before');
  expect(await refusedBy(token({ iat: seconds + 301 }))).toBe('issued_at');
  expect(() => createVerifier({ skewSeconds: 301 })).toThrow(TypeError);
  await accepted(token({ exp: seconds + 28 * 3600 }));
});

test('9 a token without roles is authentic and opens nothing, but by an access list', async () => {
  const stranger = await accepted(token({ roles: undefined }));
  expect(refusalOf({ appRole: role }, stranger, 'GET')).toMatchObject({
    status: 403,
    code: 'insufficient_role',
  });
  expect(refusalOf({ applications: [callerClientId] }, stranger, 'GET')).toBeUndefined();
  expect(refusalOf({ applications: [apiClientId] }, stranger, 'GET')).toMatchObject({ status: 403 });
});

test('10 app-only by idtyp, else by oid equal to sub, and never with scp', async () => {
  await accepted(token({ idtyp: 'app', sub: 'anything' }));
  expect(await refusedBy(token({ idtyp: 'user' }))).toBe('app_only');
  expect(await refusedBy(token({ sub: 'pairwise' }))).toBe('app_only');
  expect(await refusedBy(token({ scp: 'read', roles: [role] }))).toBe('app_only');
  expect(await refusedBy(token({ scp: 'read', idtyp: 'app' }))).toBe('app_only');
});

test('11 azp and azpacr decide, of app-only tokens alone', async () => {
  const withSecret = await accepted(token());
  const withCertificate = await accepted(token({ azpacr: '2' }));
  const policy = { allOf: [{ appRole: role }, { credential: 'certificate' }] } as const;
  expect(refusalOf(policy, withCertificate, 'GET')).toBeUndefined();
  expect(refusalOf(policy, withSecret, 'GET')).toMatchObject({ code: 'caller_not_allowed' });
  expect(await refusedBy(token({ azp: 'not a guid' }))).toBe('application');
});

test('12 the caller is tid and oid; uti names the token', async () => {
  const { objectId, tenantId: tid, tokenId, claims } = await accepted(token({ email: 'a@b.example' }));
  expect([objectId, tid, tokenId]).toEqual([claims['oid'], tenantId, claims['uti']]);
  expect(await refusedBy(token({ oid: undefined, email: 'a@b.example' }))).toBe('object');
  expect(await refusedBy(token({ uti: undefined }))).toBe('token_id');
});

test('13 security claims occur once, in whatever case', async () => {
  for (const name of ['aud', 'iss', 'tid', 'azp', 'oid', 'sub', 'roles', 'scp', 'ver', 'exp', 'idtyp']) {
    const json = JSON.stringify(appClaims(issuer, now, { scp: undefined, [name]: 'x' }));
    const upper = `{"${name.toUpperCase()}":"y",${json.slice(1)}`;
    expect(await refusedBy(signRaw(header, upper, key.privateKey))).toBe('duplicate_key');
  }
});

test('14 typ is JWT, so id tokens are told apart by their claims', async () => {
  expect(await refusedBy(token({ nonce: 'n', idtyp: undefined }))).toBe('app_only');
  expect(await refusedBy(token({ azp: undefined, nonce: 'n', name: 'A Person' }))).toBe('application');
});

const thrownBy = (authorization: string[]): unknown => {
  try {
    return bearerToken({ authorization, query: '' });
  } catch (error) {
    return error;
  }
};

test('15 answers by RFC 6750, without a word of the token', async () => {
  expect(thrownBy([])).toMatchObject({ status: 401, headers: { 'WWW-Authenticate': 'Bearer' } });
  expect(thrownBy(['Bearer a', 'Bearer b'])).toMatchObject({ status: 400, code: 'invalid_request' });
  const error = await createVerifier()
    .verify(token({ aud: 'secret-audience' }))
    .catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ status: 401, expose: true, logFields: { aud: 'secret-audience' } });
  const { headers, message, members } = error as Record<'headers' | 'message' | 'members', unknown>;
  expect(JSON.stringify([headers, message, members])).not.toContain('secret-audience');
  const network = { request: () => Promise.reject(new Error('down')), close: () => {} };
  expect(await refusedBy(token(), { network })).toMatchObject({
    status: 503,
    headers: { 'Retry-After': expect.any(String) },
  });
});

test('16 a claims challenge goes to callers that take one', async () => {
  const challenge = {
    claims: '{"access_token":{"acrs":{"essential":true,"value":"c1"}}}',
    authorizationUri: `${clouds.public}/${tenantId}/oauth2/v2.0/authorize`,
  };
  const able = challengeForClaims(await accepted(token({ xms_cc: ['cp1'] })), challenge);
  expect(able.status).toBe(401);
  const value = able.headers['WWW-Authenticate'] ?? '';
  expect(value).toMatch(/^Bearer realm="", authorization_uri="[^"]+", error="insufficient_claims", claims="/);
  const encoded = /claims="([^"]+)"/.exec(value)?.[1] ?? '';
  expect(Buffer.from(encoded, 'base64').toString()).toBe(challenge.claims);
  expect(challengeForClaims(await accepted(token()), challenge)).toMatchObject({ status: 403 });
});

test('17 a second Authorization header is refused, and the memory of tokens is keyed by the whole token', async () => {
  expect(() => bearerToken({ authorization: ['Bearer a', 'Basic b'], query: '' })).toThrow(
    'one access token',
  );
  const verifier = createVerifier();
  const good = token();
  await verifier.verify(good);
  // Not even the hash of the token, or its ends, stand for it.
  const digest = createHash('sha256').update(good).digest('base64url');
  expect(verifier.recall(digest)).toBeUndefined();
  expect(verifier.recall(`${good.slice(0, -1)}x`)).toBeUndefined();
});
