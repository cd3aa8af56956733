import { createHash, type X509Certificate } from 'node:crypto';
import type { KeyCredential } from './entities.ts';

/** What is kept of a certificate: itself, its two thumbprints and its validity. */
export const keyCredentialOf = (
  certificate: X509Certificate,
): Pick<KeyCredential, 'endMs' | 'key' | 'startMs' | 'thumbprint' | 'thumbprintSha256'> => ({
  key: certificate.raw.toString('base64'),
  thumbprint: createHash('sha1').update(certificate.raw).digest('base64url'),
  thumbprintSha256: createHash('sha256').update(certificate.raw).digest('base64url'),
  startMs: certificate.validFromDate.getTime(),
  endMs: certificate.validToDate.getTime(),
});
