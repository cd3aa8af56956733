import { createHash, createPrivateKey, createPublicKey, X509Certificate, type KeyObject } from 'node:crypto';
import { ConfigError } from '@countersign/service-kit';
import { join } from 'node:path';
import { z } from 'zod';
import type { Clock } from '../clock.ts';
import type { CertifiedKey } from './issue-certificate.ts';
import { readIfPresent, writeFileAtomically } from './private-file.ts';

/** A public key as Entra publishes it: no `alg`, and the certificate with it. */
export interface PublishedKey {
  kty: 'RSA';
  use: 'sig';
  kid: string;
  x5t: string;
  n: string;
  e: string;
  x5c: string[];
}

/** A key that tokens are signed with. */
export interface SigningKey {
  /** base64url of the certificate's SHA-1. */
  kid: string;
  privateKey: KeyObject;
  publicKey: KeyObject;
  published: PublishedKey;
}

/** The keys of the token issuer: several are published, one signs. */
export interface SigningKeys {
  /** The key that signs now. */
  current(): SigningKey;
  /** The keys that are published. */
  published(): readonly SigningKey[];
}

const storedSchema = z.strictObject({
  current: z.int().min(0),
  keys: z.array(z.strictObject({ key: z.string(), certificate: z.string() })).min(1),
});
type Stored = z.output<typeof storedSchema>;

const toSigningKey = ({ key, certificate }: CertifiedKey): SigningKey => {
  const { raw } = new X509Certificate(certificate);
  const privateKey = createPrivateKey(key);
  const publicKey = createPublicKey(privateKey);
  const { n = '', e = '' } = publicKey.export({ format: 'jwk' });
  const kid = createHash('sha1').update(raw).digest('base64url');
  const published: PublishedKey = {
    kty: 'RSA',
    use: 'sig',
    kid,
    x5t: kid,
    n,
    e,
    x5c: [raw.toString('base64')],
  };
  return { kid, privateKey, publicKey, published };
};

const load = async (path: string | undefined): Promise<Stored | undefined> => {
  const text = path === undefined ? undefined : await readIfPresent(path);
  if (text === undefined) return undefined;
  try {
    return storedSchema.parse(JSON.parse(text));
  } catch {
    throw new ConfigError([`the file ${path} does not hold signing keys: delete it to have new ones made`]);
  }
};

/**
 * The signing keys, from `signing-keys.json` in a folder or made: one that signs, and the next one, published already.
 *
 * @param options.folder where they are kept, so that tokens outlive a restart; without it they live in memory.
 */
export const createSigningKeys = async (options: {
  folder?: string | undefined;
  clock: Clock;
}): Promise<SigningKeys> => {
  const path = options.folder === undefined ? undefined : join(options.folder, 'signing-keys.json');
  const generate = async (): Promise<CertifiedKey> => {
    const { issueSigningCertificate } = await import('./issue-certificate.ts');
    return issueSigningCertificate(options.clock());
  };
  let stored = await load(path);
  if (!stored) {
    stored = { current: 0, keys: await Promise.all([generate(), generate()]) };
    if (path !== undefined) await writeFileAtomically(path, JSON.stringify(stored));
  }
  const keys = stored.keys.map(toSigningKey);
  const current = keys[stored.current];
  if (!current) throw new ConfigError([`the file ${path} names a current key that it does not hold`]);
  return {
    current: () => current,
    published: () => keys,
  };
};
