import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import {
  BasicConstraintsExtension,
  cryptoProvider,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  AuthorityKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';

// Loading this module takes 0.15 s and 30 MB: import it only where a certificate has to be made.

type Crypto = typeof webcrypto;
export type KeyPair = webcrypto.CryptoKeyPair;

const crypto: Crypto = webcrypto;
const dayMs = 86_400_000;
const ecdsa = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const rsa = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' } as const;

cryptoProvider.set(crypto);

const generateEcKeys = (): Promise<KeyPair> => crypto.subtle.generateKey(ecdsa, true, ['sign', 'verify']);

/** A key with its certificate, both as PEM. */
export interface CertifiedKey {
  key: string;
  certificate: string;
}

const toPem = async (key: webcrypto.CryptoKey): Promise<string> => {
  const der = Buffer.from(await crypto.subtle.exportKey('pkcs8', key));
  const lines = der.toString('base64').replaceAll(/.{64}/g, '$&\n').trimEnd();
  return `-----BEGIN PRIVATE KEY-----\n${lines}\n-----END PRIVATE KEY-----\n`;
};

const importEcKey = async (pem: string): Promise<webcrypto.CryptoKey> => {
  const der = Buffer.from(pem.replaceAll(/-----[^-]+-----|\s/g, ''), 'base64');
  return crypto.subtle.importKey('pkcs8', der, ecdsa, false, ['sign']);
};

/** A certificate authority of its own: a P-256 key and a certificate for ten years. */
export const issueAuthority = async (nowMs: number): Promise<CertifiedKey> => {
  const keys = await generateEcKeys();
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: 'CN=local-entra CA (development only), O=Countersign',
    notBefore: new Date(nowMs - dayMs),
    notAfter: new Date(nowMs + 3650 * dayMs),
    keys: keys,
    signingAlgorithm: ecdsa,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { key: await toPem(keys.privateKey), certificate: `${certificate.toString('pem')}\n` };
};

/** A server's key and certificate for these names, for ninety days. Names that are IP addresses become such entries. */
export const issueServerCertificate = async (
  authority: CertifiedKey,
  names: { dns: readonly string[]; ip: readonly string[] },
  nowMs: number,
): Promise<CertifiedKey> => {
  const keys = await generateEcKeys();
  const issuer = new X509Certificate(authority.certificate);
  const certificate = await X509CertificateGenerator.create({
    subject: `CN=${names.dns[0] ?? 'localhost'}`,
    issuer: issuer.subject,
    notBefore: new Date(nowMs - dayMs),
    notAfter: new Date(nowMs + 90 * dayMs),
    publicKey: keys.publicKey,
    signingKey: await importEcKey(authority.key),
    signingAlgorithm: ecdsa,
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
      new SubjectAlternativeNameExtension([
        ...names.dns.map((value) => ({ type: 'dns' as const, value })),
        ...names.ip.map((value) => ({ type: 'ip' as const, value })),
      ]),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
      await AuthorityKeyIdentifierExtension.create(issuer.publicKey),
    ],
  });
  return { key: await toPem(keys.privateKey), certificate: `${certificate.toString('pem')}\n` };
};

/** A new RSA-2048 key to sign tokens with, and its certificate for five years, as Entra publishes them. */
export const issueSigningCertificate = async (nowMs: number): Promise<CertifiedKey> => {
  const keys = await crypto.subtle.generateKey(
    { ...rsa, publicExponent: new Uint8Array([1, 0, 1]), modulusLength: 2048 },
    true,
    ['sign', 'verify'],
  );
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: 'CN=local-entra token signing (development only)',
    notBefore: new Date(nowMs - dayMs),
    notAfter: new Date(nowMs + 1826 * dayMs),
    keys: keys,
    signingAlgorithm: rsa,
  });
  return { key: await toPem(keys.privateKey), certificate: `${certificate.toString('pem')}\n` };
};
