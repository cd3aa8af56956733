import { constants, createHash, randomUUID, sign, X509Certificate } from 'node:crypto';
import { issueSigningCertificate, type CertifiedKey } from '../src/certificates/issue-certificate.ts';

export type { CertifiedKey } from '../src/certificates/issue-certificate.ts';

/** An RSA key with a self-signed certificate, in force from a day before. */
export const makeCertificate = (nowMs = Date.now()): Promise<CertifiedKey> => issueSigningCertificate(nowMs);

const encode = (part: object): string => Buffer.from(JSON.stringify(part)).toString('base64url');

/** A compact JWS with whatever header and claims, signed as `header.alg` says. */
export const makeJwt = (header: Record<string, unknown>, claims: object, key: string): string => {
  const input = `${encode(header)}.${encode(claims)}`;
  const padding =
    header['alg'] === 'PS256'
      ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }
      : {};
  return `${input}.${sign('sha256', Buffer.from(input), { key, ...padding }).toString('base64url')}`;
};

export const thumbprint = (certificate: string, hash: 'sha1' | 'sha256'): string =>
  createHash(hash).update(new X509Certificate(certificate).raw).digest('base64url');

export interface AssertionOptions {
  clientId: string;
  audience: string;
  nowSeconds?: number;
  header?: Record<string, unknown>;
  claims?: Record<string, unknown>;
}

/** A client assertion as MSAL makes it: PS256, `x5t#S256`, ten minutes. */
export const makeAssertion = (pair: CertifiedKey, options: AssertionOptions): string => {
  const nowSeconds = options.nowSeconds ?? Math.floor(Date.now() / 1000);
  const { clientId } = options;
  return makeJwt(
    options.header ?? { alg: 'PS256', typ: 'JWT', 'x5t#S256': thumbprint(pair.certificate, 'sha256') },
    {
      aud: options.audience,
      iss: clientId,
      sub: clientId,
      jti: randomUUID(),
      nbf: nowSeconds,
      iat: nowSeconds,
      exp: nowSeconds + 600,
      ...options.claims,
    },
    pair.key,
  );
};
