import { createHash, type X509Certificate } from 'node:crypto';
import type { KeyCredential } from './entities.ts';

/**
 * What is kept of a certificate: itself, its two thumbprints and its validity.
 *
 * @throws {Error} for one that could never be used: without a validity that can be read, or not of an RSA key.
 */
export const keyCredentialOf = (
  certificate: X509Certificate,
): Pick<KeyCredential, 'endMs' | 'key' | 'startMs' | 'thumbprint' | 'thumbprintSha256'> => {
  const [startMs, endMs] = [certificate.validFromDate.getTime(), certificate.validToDate.getTime()];
  // NaN is less than nothing.
  if (!(startMs < endMs)) throw new TypeError('the validity of the certificate cannot be used');
  if (certificate.publicKey.asymmetricKeyType !== 'rsa') throw new TypeError('the key is not one of RSA');
  return {
    key: certificate.raw.toString('base64'),
    thumbprint: createHash('sha1').update(certificate.raw).digest('base64url'),
    thumbprintSha256: createHash('sha256').update(certificate.raw).digest('base64url'),
    startMs,
    endMs,
  };
};
