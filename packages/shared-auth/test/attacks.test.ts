import { beforeEach, expect, test } from '@jest/globals';
import jsonwebtoken from 'jsonwebtoken';
import { createHmac, generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import { createTokenVerifier, type TokenCheck, type TokenVerifier } from '../src/index.ts';
import { jwtEngine, type EngineVerifyOptions, type JwtEngine } from '../src/verifier.ts';
import {
  apiClientId,
  appClaims,
  base64url,
  createKey,
  createStaticIssuer,
  mint,
  role,
  signHmac,
  signRaw,
  tenantId,
} from './test-issuer.ts';

const now = Date.parse('2026-11-22T20:00:00Z');
const seconds = now / 1000;
const issuer = createStaticIssuer();
const [key = createKey()] = issuer.keys;
let verifier: TokenVerifier;

/** A new one each time: of several unknown kids only the first is looked for. */
beforeEach(() => {
  verifier = createTokenVerifier({
    authorityHost: issuer.origin,
    tenantId,
    clientId: apiClientId,
    network: issuer.network,
    clock: () => now,
  });
});

const header = { typ: 'JWT', alg: 'RS256', kid: key.kid };
const withHeader = (change: object): string =>
  signRaw({ ...header, ...change }, appClaims(issuer, now), key.privateKey);
const withClaims = (change: Record<string, unknown>): string => mint(issuer, now, change);
/** Signs JSON that JSON.stringify would not write. */
const withPayload = (edit: (json: string) => string): string =>
  signRaw(header, edit(JSON.stringify(appClaims(issuer, now))), key.privateKey);
const signedInput = (input: string): string =>
  `${input}.${sign('sha256', Buffer.from(input), key.privateKey).toString('base64url')}`;
const parts = (token: string): [string, string, string] => token.split('.') as [string, string, string];
const good = mint(issuer, now);
const [goodHeader, goodPayload, goodSignature] = parts(good);
const mine = createKey(key.kid);
const pem = key.publicKey.export({ format: 'pem', type: 'spki' });
const der = key.publicKey.export({ format: 'der', type: 'spki' });
const modulus = Buffer.from(String(key.publicKey.export({ format: 'jwk' }).n), 'base64url');
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const signEc = (): string => {
  const input = `${base64url({ ...header, alg: 'ES256' })}.${goodPayload}`;
  const signature = sign('sha256', Buffer.from(input), { key: ec.privateKey, dsaEncoding: 'ieee-p1363' });
  return `${input}.${signature.toString('base64url')}`;
};
const hmac = (secret: string | Buffer): string =>
  signHmac({ ...header, alg: 'HS256' }, appClaims(issuer, now), secret);
/** The last character of a base64url text has bits that decode to nothing: sets one of them. */
const respelled = (segment: string): string => {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  const last = alphabet.indexOf(segment.at(-1) ?? '');
  return `${segment.slice(0, -1)}${alphabet[last ^ 1]}`;
};

test('the token that the attacks start from is good', async () => {
  expect(await verifier.verify(good)).toMatchObject({ roles: [role] });
});

test.each<[string, TokenCheck, string]>([
  // Algorithm confusion (RFC 8725 §2.1, §3.1)
  ['alg none, no signature', 'structure', `${base64url({ ...header, alg: 'none' })}.${goodPayload}.`],
  ['alg none, kept signature', 'algorithm', withHeader({ alg: 'none' })],
  ['alg None', 'algorithm', withHeader({ alg: 'None' })],
  ['alg rs256', 'algorithm', withHeader({ alg: 'rs256' })],
  ['alg RS256 with a NUL', 'algorithm', withHeader({ alg: 'RS256\0' })],
  ['alg as a list', 'algorithm', withHeader({ alg: ['RS256'] })],
  ['alg missing', 'algorithm', withHeader({ alg: undefined })],
  ['RS384', 'algorithm', withHeader({ alg: 'RS384' })],
  ['PS256', 'algorithm', withHeader({ alg: 'PS256' })],
  ['ES256', 'algorithm', signEc()],
  ['HS256 keyed with the PEM', 'algorithm', hmac(pem)],
  ['HS256 keyed with the PEM without its last newline', 'algorithm', hmac(pem.trim())],
  ['HS256 keyed with the DER', 'algorithm', hmac(der)],
  ['HS256 keyed with the modulus', 'algorithm', hmac(modulus)],
  ['HS256 keyed with nothing', 'algorithm', hmac('')],
  [
    'an HMAC under alg RS256',
    'signature',
    `${goodHeader}.${goodPayload}.${createHmac('sha256', pem).update(`${goodHeader}.${goodPayload}`).digest('base64url')}`,
  ],
  // Null signatures
  ['a null signature', 'structure', `${goodHeader}.${goodPayload}.`],
  ['a signature of zero bytes', 'signature', `${goodHeader}.${goodPayload}.${'A'.repeat(342)}`],
  ['a signature of one byte', 'signature', `${goodHeader}.${goodPayload}.AA`],
  [
    'a signature of 1',
    'signature',
    `${goodHeader}.${goodPayload}.${Buffer.from([...Array(255).fill(0), 1]).toString('base64url')}`,
  ],
  // Keys brought along (RFC 8725 §3.10)
  ...(['jwk', 'jku', 'x5u', 'x5c'] as const).map((name): [string, TokenCheck, string] => [
    `a key of its own in ${name}`,
    'signature',
    signRaw(
      {
        ...header,
        [name]: name === 'jwk' ? mine.publicKey.export({ format: 'jwk' }) : 'https://evil.example/keys',
      },
      appClaims(issuer, now),
      mine.privateKey,
    ),
  ]),
  // kid tricks
  ['no kid', 'key_id', withHeader({ kid: undefined })],
  ['an empty kid', 'key_id', withHeader({ kid: '' })],
  ['a kid that is a number', 'key_id', withHeader({ kid: 1 })],
  ['a kid that is a list', 'key_id', withHeader({ kid: [key.kid] })],
  ['a kid that is a path', 'key_id', withHeader({ kid: '../../../../dev/null' })],
  ['a kid that is SQL', 'key_id', withHeader({ kid: "' UNION SELECT 'key' --" })],
  ['the kid __proto__', 'key_id', withHeader({ kid: '__proto__' })],
  ['the kid constructor', 'key_id', withHeader({ kid: 'constructor' })],
  ['a kid in capitals', 'key_id', withHeader({ kid: key.kid.toUpperCase() })],
  ['a kid with a space', 'key_id', withHeader({ kid: `${key.kid} ` })],
  ['a kid of 10 kB', 'key_id', withHeader({ kid: 'k'.repeat(10_000) })],
  // Other processing asked for
  ['crit with an unknown name', 'critical', withHeader({ crit: ['exp'], exp: 1 })],
  ['an empty crit', 'critical', withHeader({ crit: [] })],
  ['b64 false', 'critical', withHeader({ b64: false, crit: ['b64'] })],
  ['b64 true', 'critical', withHeader({ b64: true })],
  ['another typ', 'type', withHeader({ typ: 'at+jwt' })],
  ['typ jwt in small letters', 'type', withHeader({ typ: 'jwt' })],
  ['a nested token', 'json', signRaw(header, JSON.stringify(good), key.privateKey)],
  // Parts truncated, moved, or spelled anew
  ['two parts', 'structure', `${goodHeader}.${goodPayload}`],
  ['four parts', 'structure', `${good}.AAAA`],
  ['five parts (JWE)', 'structure', `${good}.AAAA.AAAA`],
  [
    'JSON serialization',
    'structure',
    JSON.stringify({ protected: goodHeader, payload: goodPayload, signature: goodSignature }),
  ],
  ['a dot in front', 'structure', `.${good}`],
  ['header and payload exchanged', 'algorithm', signedInput(`${goodPayload}.${goodHeader}`)],
  ['padding at the signature', 'encoding', `${good}==`],
  ['padding at the header', 'encoding', signedInput(`${base64url({ ...header, a: 'b' })}=.${goodPayload}`)],
  [
    'a signature in standard base64',
    'encoding',
    `${goodHeader}.${goodPayload}.${Buffer.from(goodSignature, 'base64url').toString('base64').replace(/^./, '+')}`,
  ],
  [
    'a space in the signature',
    'encoding',
    `${goodHeader}.${goodPayload}.${goodSignature.slice(0, 9)} ${goodSignature.slice(9)}`,
  ],
  ['a newline at the end', 'encoding', `${good}\n`],
  ['a NUL at the end', 'encoding', `${good}\0`],
  [
    'another spelling of the signature',
    'encoding',
    `${goodHeader}.${goodPayload}.${respelled(goodSignature)}`,
  ],
  [
    'a letter that folds to ASCII',
    'encoding',
    `${goodHeader}.${goodPayload}.${goodSignature.replace(/[kK]/, 'K')}K`,
  ],
  ['a truncated payload', 'json', `${goodHeader}.${goodPayload.slice(0, 400)}.${goodSignature}`],
  ['a byte order mark', 'json', withPayload((json) => `\uFEFF${json}`)],
  [
    'bytes that are no UTF-8',
    'encoding',
    signedInput(
      `${goodHeader}.${Buffer.concat([Buffer.from('{"a":"'), Buffer.from([0xc0, 0xaf]), Buffer.from('"}')]).toString('base64url')}`,
    ),
  ],
  ['17 kB', 'size', withClaims({ pad: 'x'.repeat(13_000) })],
  // JSON
  ['a payload that is a list', 'json', withPayload((json) => `[${json}]`)],
  ['a payload that is null', 'json', withPayload(() => 'null')],
  ['JSON with a comment', 'json', withPayload((json) => `${json}//`)],
  ['two documents', 'json', withPayload((json) => `${json}${json}`)],
  ['deep nesting', 'json', withPayload(() => '['.repeat(8000))],
  ['aud twice', 'duplicate_key', withPayload((json) => json.replace('{', `{"aud":"${apiClientId}",`))],
  ['roles twice', 'duplicate_key', withPayload((json) => json.replace('{', '{"roles":["admin"],'))],
  ['Tid beside tid', 'duplicate_key', withPayload((json) => json.replace('{', `{"Tid":"${tenantId}",`))],
  [
    'tid twice, once escaped',
    'duplicate_key',
    withPayload((json) => json.replace('{', String.raw`{"\u0074id":"x",`)),
  ],
  ['an opaque claim twice', 'duplicate_key', withPayload((json) => json.replace('{', '{"rh":"1",'))],
  [
    'alg twice',
    'duplicate_key',
    signRaw(`{"alg":"none",${JSON.stringify(header).slice(1)}`, appClaims(issuer, now), key.privateKey),
  ],
  ['claims inside a claim', 'version', withPayload((json) => `{"claims":${json}}`)],
  ['claims under __proto__', 'version', withPayload((json) => `{"__proto__":${json}}`)],
  // Numbers
  ['exp without end', 'lifetime', withPayload((json) => json.replace(/"exp":\d+/, '"exp":1e400'))],
  ['exp larger than a Date', 'lifetime', withClaims({ exp: 9e12 })],
  ['exp as text', 'lifetime', withClaims({ exp: String(seconds + 60) })],
  ['exp as a list', 'lifetime', withClaims({ exp: [seconds + 60] })],
  ['exp null', 'lifetime', withClaims({ exp: null })],
  ['exp in milliseconds', 'lifetime', withClaims({ exp: now + 1e13 })],
  ['no exp', 'lifetime', withClaims({ exp: undefined })],
  ['no nbf', 'lifetime', withClaims({ nbf: undefined })],
  ['no iat', 'lifetime', withClaims({ iat: undefined })],
  ['nbf at minus infinity', 'lifetime', withPayload((json) => json.replace(/"nbf":\d+/, '"nbf":-1e400'))],
  ['exp zero', 'expired', withClaims({ exp: 0 })],
  ['expired to the second', 'expired', withClaims({ exp: seconds - 300 })],
  ['issued in the future', 'issued_at', withClaims({ iat: seconds + 301 })],
  ['not yet valid', 'not_before', withClaims({ nbf: seconds + 301 })],
  // Claims in other clothes
  ['another audience', 'audience', withClaims({ aud: '99999999-9999-4999-8999-999999999999' })],
  ['a list of audiences', 'audience', withClaims({ aud: [apiClientId, 'other'] })],
  ['the audience in capitals', 'audience', withClaims({ aud: 'ABCDEF00-0000-4000-8000-000000000000' })],
  ['the audience with a space', 'audience', withClaims({ aud: `${apiClientId} ` })],
  ['the audience as a URI', 'audience', withClaims({ aud: `api://${apiClientId}` })],
  ['no audience', 'audience', withClaims({ aud: undefined })],
  ['the issuer with a slash', 'issuer', withClaims({ iss: `${issuer.issuer}/` })],
  ['the issuer in capitals', 'issuer', withClaims({ iss: issuer.issuer.toUpperCase() })],
  ['the issuer as a prefix', 'issuer', withClaims({ iss: `${issuer.issuer}.evil.example` })],
  ['the issuer without TLS', 'issuer', withClaims({ iss: issuer.issuer.replace('https', 'http') })],
  ['a homograph of the issuer', 'issuer', withClaims({ iss: issuer.issuer.replace('o', 'о') })],
  ['the issuer decomposed', 'issuer', withClaims({ iss: issuer.issuer.replace('i', 'i\u0307') })],
  ['the common issuer', 'issuer', withClaims({ iss: 'https://login.microsoftonline.com/common/v2.0' })],
  ['another tenant', 'tenant', withClaims({ tid: '99999999-9999-4999-8999-999999999999' })],
  ['no tenant', 'tenant', withClaims({ tid: undefined })],
  ['no version', 'version', withClaims({ ver: undefined })],
  ['version as a number', 'version', withClaims({ ver: 2 })],
  ['no azp', 'application', withClaims({ azp: undefined })],
  ['azp as a list', 'application', withClaims({ azp: ['33333333-3333-4333-8333-333333333333'] })],
  ['no oid', 'object', withClaims({ oid: undefined })],
  ['a delegated token', 'app_only', withClaims({ scp: 'user_impersonation' })],
  ['a delegated token with an empty scope', 'app_only', withClaims({ scp: '' })],
  ['a user by idtyp', 'app_only', withClaims({ idtyp: 'user' })],
  ['a user without scope and idtyp', 'app_only', withClaims({ sub: 'pairwise-subject' })],
  ['no subject', 'app_only', withClaims({ sub: undefined })],
  ['an id token', 'app_only', withClaims({ nonce: 'n' })],
  ['roles as text', 'roles', withClaims({ roles: role })],
  ['roles as an object', 'roles', withClaims({ roles: { 0: role, length: 1 } })],
  ['roles in a list in a list', 'roles', withClaims({ roles: [[role]] })],
  ['a role that is an object', 'roles', withClaims({ roles: [{ toString: role }] })],
  ['an empty role', 'roles', withClaims({ roles: [''] })],
  ['no uti', 'token_id', withClaims({ uti: undefined })],
  // Keys of others
  ['a key of another issuer', 'key_id', mint(issuer, now, {}, createKey())],
  ['another key under a known name', 'signature', mint(issuer, now, {}, mine)],
  [
    'the signature of another token',
    'signature',
    `${goodHeader}.${parts(withClaims({ roles: ['admin'] }))[1]}.${goodSignature}`,
  ],
])('refused: %s', async (_, check, token) => {
  // By koa-jwt's engine and by our own alike.
  const engine: JwtEngine = async (...args) => jsonwebtoken.verify(...(args as [string, KeyObject, object]));
  const options: EngineVerifyOptions = { [jwtEngine]: engine };
  await expect(verifier.verify(token, options)).rejects.toMatchObject({
    name: 'InvalidTokenError',
    check,
  });
  await expect(verifier.verify(token)).rejects.toMatchObject({
    name: 'InvalidTokenError',
    status: 401,
    check,
  });
  expect(verifier.recall(token)).toBeUndefined();
});

test.each([
  ['a role in other letters', [role.toUpperCase()]],
  ['a role with a space', [`${role} `]],
  ['a role spelled with a look-alike', [role.replace('a', 'а')]],
  ['two roles in one text', [`${role},admin`]],
])('%s is another role', async (_, roles) => {
  const principal = await verifier.verify(withClaims({ roles }));
  expect(principal.roles.includes(role)).toBe(false);
});

test('a claim whose name differs in case is no claim', async () => {
  const claims = appClaims(issuer, now, { roles: undefined, Roles: [role] });
  expect((await verifier.verify(signRaw(header, claims, key.privateKey))).roles).toEqual([]);
});

test.each(['header', 'payload'])('a %s of thousands of names is refused at once', async (part) => {
  const names = Array.from({ length: 1200 }, (_, index) => `"A${index.toString(36)}":0`).join();
  const many = Buffer.from(`{${names}}`).toString('base64url');
  const token = part === 'header' ? `${many}.${goodPayload}.AA` : `${goodHeader}.${many}.AA`;
  expect(token.length).toBeLessThan(16 * 1024);
  await expect(verifier.verify(token)).rejects.toMatchObject({ check: 'size' });
});

test('names that differ in case are found in one pass', async () => {
  // Long names in capitals made each comparison fold all the others.
  const names = Array.from({ length: 31 }, (_, index) => `"${'K'.repeat(200)}${index}":0`);
  const twice = `{"alg":"RS256",${names.slice(0, 20).join()},"AlG":0}`;
  const token = `${Buffer.from(twice).toString('base64url')}.${goodPayload}.AA`;
  await expect(verifier.verify(token)).rejects.toMatchObject({ check: 'duplicate_key' });
});
