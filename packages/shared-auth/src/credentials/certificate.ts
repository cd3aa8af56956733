import {
  constants,
  createHash,
  createPrivateKey,
  randomUUID,
  sign,
  X509Certificate,
  type KeyObject,
} from 'node:crypto';
import { readCredentialFile } from './credential-file.ts';
import { CredentialError, type CredentialSource } from './credential-source.ts';
import { pemOfPfx } from './pfx.ts';

export interface CertificateSourceOptions {
  /** PEM (private key and certificate) or PFX. */
  path: string;
  password?: string;
  clientId: string;
  /** Milliseconds since 1970. */
  clock: () => number;
}

interface Certificate {
  privateKey: KeyObject;
  /** `x5t#S256` (RFC 7515 §4.1.8). */
  thumbprint: string;
  expiresAtMs: number;
}

const name = 'certificateFile';
const assertionLifeSeconds = 600;
/** An assertion is renewed at half its life: one that is used to its last second is refused for clock differences. */
const assertionReuseMs = 300_000;

const certificatePattern = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

const parsePem = (pem: string, password: string | undefined): Certificate => {
  const privateKey = createPrivateKey({ key: pem, ...(password !== undefined && { passphrase: password }) });
  if (privateKey.asymmetricKeyType !== 'rsa') throw new Error('the key is not RSA');
  const certificate = (pem.match(certificatePattern) ?? [])
    .map((text) => new X509Certificate(text))
    .find((each) => each.checkPrivateKey(privateKey));
  if (certificate === undefined) throw new Error('no certificate belongs to the private key');
  return {
    privateKey,
    thumbprint: createHash('sha256').update(certificate.raw).digest('base64url'),
    expiresAtMs: certificate.validToDate.getTime(),
  };
};

const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');

/** Signs a client assertion as Entra asks for it ("Certificate credentials": PS256, `x5t#S256`, `aud` the endpoint). */
const signAssertion = (
  { privateKey, thumbprint }: Certificate,
  clientId: string,
  audience: string,
  nowMs: number,
): string => {
  const now = Math.floor(nowMs / 1000);
  const header = encode({ alg: 'PS256', typ: 'JWT', 'x5t#S256': thumbprint });
  const claims = encode({
    aud: audience,
    iss: clientId,
    sub: clientId,
    jti: randomUUID(),
    nbf: now,
    iat: now,
    exp: now + assertionLifeSeconds,
  });
  const signature = sign('sha256', Buffer.from(`${header}.${claims}`), {
    key: privateKey,
    padding: constants.RSA_PKCS1_PSS_PADDING,
    saltLength: constants.RSA_PSS_SALTLEN_DIGEST,
  });
  return `${header}.${claims}.${signature.toString('base64url')}`;
};

/** A certificate in a file, taken up again when the file changes. */
export const certificateSource = ({
  path,
  password,
  clientId,
  clock,
}: CertificateSourceOptions): CredentialSource => {
  let loaded: { content: Buffer; certificate: Certificate } | undefined;
  let made: { by: Certificate; audience: string; assertion: string; atMs: number } | undefined;

  const load = async (): Promise<Certificate> => {
    const content = await readCredentialFile(name, path);
    if (loaded?.content.equals(content)) return loaded.certificate;
    try {
      const isPem = content.includes('-----BEGIN');
      const pem = isPem ? content.toString('utf8') : await pemOfPfx(content, password ?? '');
      loaded = { content, certificate: parsePem(pem, isPem ? password : undefined) };
    } catch (error) {
      const { message } = error as Error;
      throw new CredentialError(name, `The certificate in ${path} cannot be used: ${message}.`);
    }
    return loaded.certificate;
  };

  return {
    name,
    async read() {
      const certificate = await load();
      if (clock() >= certificate.expiresAtMs) {
        throw new CredentialError(name, `The certificate in ${path} has expired: rotate it.`);
      }
      return {
        kind: 'assertion',
        assertion: async (audience) => {
          const isFresh =
            made?.by === certificate && made.audience === audience && clock() < made.atMs + assertionReuseMs;
          if (!made || !isFresh) {
            const assertion = signAssertion(certificate, clientId, audience, clock());
            made = { by: certificate, audience, assertion, atMs: clock() };
          }
          return made.assertion;
        },
      };
    },
  };
};
