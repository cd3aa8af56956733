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

/** How keys are replaced: with the next one that was published already, or all at once. */
export type RotationMode = 'emergency' | 'graceful';

/** The keys of the token issuer: several are published, one signs. */
export interface SigningKeys {
  /** The key that signs now. */
  current(): SigningKey;
  /** The published key that signs after it. */
  next(): SigningKey | undefined;
  /** The keys that are published. */
  published(): readonly SigningKey[];
  /** A key that is never published: always the same one. */
  unpublished(): Promise<SigningKey>;
  rotate(mode: RotationMode): Promise<void>;
  /** Signs with a new key, and publishes it only from then on (by the clock, milliseconds). */
  hide(untilMs: number): Promise<void>;
}

/** Keys that sign no longer stay published this far back, for the tokens that they signed. */
const maxPublished = 4;

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
    const stored = storedSchema.parse(JSON.parse(text));
    for (const pair of stored.keys) toSigningKey(pair);
    return stored;
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
  const newKey = async (): Promise<KeptKey> => {
    const pair = await generate();
    return { ...toSigningKey(pair), pair, hiddenUntilMs: 0 };
  };
  const save = async (): Promise<void> => {
    const stored: Stored = { current: keys.indexOf(current), keys: keys.map(({ pair }) => pair) };
    if (path !== undefined) await writeFileAtomically(path, JSON.stringify(stored));
  };

  const stored = await load(path);
  let keys: KeptKey[] = stored
    ? stored.keys.map((pair) => ({ ...toSigningKey(pair), pair, hiddenUntilMs: 0 }))
    : await Promise.all([newKey(), newKey()]);
  let current = keyAt(keys, stored?.current ?? 0, path);
  let stranger: Promise<SigningKey> | undefined;
  if (!stored) await save();

  return {
    current: () => current,
    next: () => keys[keys.indexOf(current) + 1],
    published: () => keys.filter(({ hiddenUntilMs }) => hiddenUntilMs <= options.clock()),
    unpublished: () => (stranger ??= generate().then(toSigningKey)),
    rotate: async (mode) => {
      if (mode === 'emergency') {
        keys = await Promise.all([newKey(), newKey()]);
        current = keyAt(keys, 0, path);
      } else {
        current = keys[keys.indexOf(current) + 1] ?? current;
        keys = [...keys, await newKey()].slice(-maxPublished);
      }
      await save();
    },
    hide: async (untilMs) => {
      const key = { ...(await newKey()), hiddenUntilMs: untilMs };
      keys.splice(keys.indexOf(current) + 1, 0, key);
      current = key;
      await save();
    },
  };
};

interface KeptKey extends SigningKey {
  pair: CertifiedKey;
  hiddenUntilMs: number;
}

const keyAt = (keys: readonly KeptKey[], index: number, path: string | undefined): KeptKey => {
  const key = keys[index];
  if (!key) throw new ConfigError([`the file ${path} names a current key that it does not hold`]);
  return key;
};
