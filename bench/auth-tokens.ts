import { generateKeyPairSync, randomUUID, sign, type KeyObject } from 'node:crypto';

export const origin = 'https://login.microsoftonline.com';
export const tenantId = '11111111-1111-4111-8111-111111111111';
export const clientId = '22222222-2222-4222-8222-222222222222';
export const issuer = `${origin}/${tenantId}/v2.0`;
export const role = 'access_as_application_API1';

const callerId = '33333333-3333-4333-8333-333333333333';
const objectId = '44444444-4444-4444-8444-444444444444';
const kid = 'a-key-of-the-bench';

const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });

export const verificationKey: KeyObject = publicKey;
export const verificationPem: string = publicKey.export({ format: 'pem', type: 'spki' });
export const jwks = {
  keys: [{ ...publicKey.export({ format: 'jwk' }), kty: 'RSA', use: 'sig', kid, alg: 'RS256' }],
};

const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');

/** A v2 app-only token of some 1.4 kB, which is what Entra's are like. */
export const createToken = (): string => {
  const now = Math.floor(Date.now() / 1000);
  const header = encode({ typ: 'JWT', alg: 'RS256', kid });
  const claims = encode({
    aud: clientId,
    iss: issuer,
    iat: now - 300,
    nbf: now - 300,
    exp: now + 3600,
    aio: 'k2RgYPj'.padEnd(120, 'x'),
    azp: callerId,
    azpacr: '2',
    idtyp: 'app',
    oid: objectId,
    rh: '1.AXkA'.padEnd(90, 'x'),
    roles: [role, 'Records.Read.All'],
    sub: objectId,
    tid: tenantId,
    uti: randomUUID(),
    ver: '2.0',
    xms_ftd: 'x'.repeat(100),
  });
  const input = `${header}.${claims}`;
  return `${input}.${sign('sha256', Buffer.from(input), privateKey).toString('base64url')}`;
};

/** Checks the signature alone, as cheaply as Node can. */
export const createPartsForVerify = (token: string): { data: Buffer; signature: Buffer } => {
  const end = token.lastIndexOf('.');
  return {
    data: Buffer.from(token.slice(0, end)),
    signature: Buffer.from(token.slice(end + 1), 'base64url'),
  };
};
