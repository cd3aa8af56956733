import { constants, verify, X509Certificate, type KeyObject } from 'node:crypto';
import type { Application, KeyCredential, Tenant } from '../directory/entities.ts';
import { StsError } from '../sts-errors/sts-error.ts';
import { checkAssertionTimes, textOf, type ClientAssertion } from './client-assertion.ts';

export interface CertificateAssertionCheck {
  application: Application;
  tenant: Tenant;
  /** The public origin of this Entra. */
  origin: string;
  nowMs: number;
}

/** Signature algorithms that Entra takes: PS256 today, RS256 from older clients. */
const paddings: ReadonlyMap<unknown, object> = new Map<unknown, object>([
  ['PS256', { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }],
  ['RS256', { padding: constants.RSA_PKCS1_PADDING }],
]);

/** Some clients pad the thumbprint, which base64url in a JWS never is. The longest one is a SHA-256's. */
const unpadded = (thumbprint: unknown): string =>
  typeof thumbprint === 'string' && thumbprint.length <= 44 ? thumbprint.replace(/={1,2}$/, '') : '';

const findKey = (
  assertion: ClientAssertion,
  { application, nowMs }: CertificateAssertionCheck,
): KeyCredential => {
  const sha256 = unpadded(assertion.header['x5t#S256']);
  const sha1 = unpadded(assertion.header['x5t']);
  const key = application.keyCredentials.find(
    (candidate) =>
      candidate.visibleFromMs <= nowMs &&
      (sha256 === '' ? candidate.thumbprint === sha1 : candidate.thumbprintSha256 === sha256),
  );
  const thumbprint = Buffer.from(sha1 || sha256, 'base64url')
    .toString('hex')
    .toUpperCase();
  if (!key) throw new StsError('assertionKeyNotFound', {}, `thumbprint ${thumbprint}`);
  if (key.startMs <= nowMs && nowMs < key.endMs) return key;
  const [start, end] = [key.startMs, key.endMs].map((ms) => new Date(ms).toISOString());
  throw new StsError('assertionKeyExpired', {}, `thumbprint ${thumbprint}, from ${start} to ${end}`);
};

const audiences = ({ tenant, origin }: CertificateAssertionCheck): Set<string> => {
  const endpoints = ['oauth2/v2.0/token', 'oauth2/token', 'v2.0', ''];
  const names = [tenant.id, ...tenant.domains];
  return new Set(names.flatMap((name) => endpoints.map((endpoint) => `${origin}/${name}/${endpoint}`)));
};

/**
 * Returns the check of assertions that are signed with an application's own certificate. The certificate is the one
 * that the header's thumbprint names, not any that happens to fit.
 */
export const createCertificateAssertions = (): ((
  assertion: ClientAssertion,
  check: CertificateAssertionCheck,
) => void) => {
  const publicKeys = new WeakMap<KeyCredential, KeyObject>();
  const publicKeyOf = (credential: KeyCredential): KeyObject => {
    const known = publicKeys.get(credential);
    if (known) return known;
    const { publicKey } = new X509Certificate(Buffer.from(credential.key, 'base64'));
    publicKeys.set(credential, publicKey);
    return publicKey;
  };

  /** False for a key that cannot be read, too. */
  const isSignedBy = (
    credential: KeyCredential,
    padding: object,
    signingInput: Buffer,
    signature: Buffer,
  ): boolean => {
    try {
      const key = publicKeyOf(credential);
      return (
        key.asymmetricKeyType === 'rsa' && verify('sha256', signingInput, { key, ...padding }, signature)
      );
    } catch {
      return false;
    }
  };

  return function checkCertificateAssertion(assertion, check) {
    const { header, claims, signingInput, signature } = assertion;
    const padding = paddings.get(header['alg']);
    if (!padding) throw new StsError('malformedAssertion', {}, 'the algorithm is not taken');
    const credential = findKey(assertion, check);
    if (!isSignedBy(credential, padding, signingInput, signature))
      throw new StsError('assertionBadSignature');
    checkAssertionTimes(assertion, check.nowMs);
    const { appId } = check.application;
    if (claims['iss'] !== appId || claims['sub'] !== appId) throw new StsError('assertionOfAnotherClient');
    const audience: unknown[] = [claims['aud']].flat();
    const wanted = audiences(check);
    if (!audience.some((name) => typeof name === 'string' && wanted.has(name))) {
      throw new StsError('assertionAudience', { audience: textOf(claims['aud']) });
    }
  };
};
