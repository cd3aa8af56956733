import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';

/** An AES-256 key with a name, which is stored beside what it has encrypted. */
export interface CacheKey {
  /** Letters, digits, `_` and `-`. */
  readonly id: string;
  /** 32 bytes. */
  readonly key: Uint8Array;
}

export interface TokenCipher {
  /** @param context - bound to the text: it opens with the same context alone, so values cannot be exchanged */
  seal(text: string, context: string): string;
  /** The text, or undefined for what no known key has sealed for this context. */
  open(sealed: string, context: string): string | undefined;
}

const algorithm = 'aes-256-gcm';
const version = 'v1';

const additional = (id: string, context: string): Buffer => Buffer.from(`${version}.${id}.${context}`);

/** AES-256-GCM (NIST SP 800-38D) with random nonces; the first key seals, every key opens. */
export const createTokenCipher = (keys: readonly CacheKey[]): TokenCipher => {
  const [current] = keys;
  if (current === undefined) throw new TypeError('give at least one key');
  for (const { id, key } of keys) {
    if (!/^[\w-]+$/.test(id)) throw new TypeError('the id of a key has letters, digits, _ and - alone');
    if (key.length !== 32) throw new TypeError(`the key ${id} must have 32 bytes`);
  }
  const byId = new Map(keys.map(({ id, key }) => [id, key]));
  if (byId.size !== keys.length) throw new TypeError('two keys have the same id');

  return {
    seal(text, context) {
      const nonce = randomBytes(12);
      const cipher = createCipheriv(algorithm, current.key, nonce).setAAD(additional(current.id, context));
      const body = Buffer.concat([nonce, cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()]);
      return `${version}.${current.id}.${body.toString('base64url')}`;
    },
    open(sealed, context) {
      const [prefix, id = '', encoded = ''] = sealed.split('.');
      const key = byId.get(id);
      const body = Buffer.from(encoded, 'base64url');
      if (prefix !== version || key === undefined || body.length < 28) return undefined;
      const decipher = createDecipheriv(algorithm, key, body.subarray(0, 12), { authTagLength: 16 })
        .setAAD(additional(id, context))
        .setAuthTag(body.subarray(-16));
      try {
        return Buffer.concat([decipher.update(body.subarray(12, -16)), decipher.final()]).toString('utf8');
      } catch {
        return undefined;
      }
    },
  };
};
