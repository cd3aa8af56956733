import { createPublicKey, type KeyObject } from 'node:crypto';
import jwksRsa from 'jwks-rsa';
import type { EntraNetwork } from './network.ts';

/** A key that may sign tokens. */
export interface SigningKey {
  readonly kid: string;
  readonly publicKey: KeyObject;
  /** The issuer that Entra says may use it, perhaps with the placeholder `{tenantid}`. */
  readonly issuer: string | undefined;
}

/** A key set that cannot be used. */
export class KeySetError extends Error {
  override readonly name = 'KeySetError';
}

const minModulusBits = 2048;
const maxKeys = 1000;

interface Jwk extends Record<string, unknown> {
  kid: string;
  n: string;
  e: string;
}

const isText = (value: unknown): value is string => typeof value === 'string' && value !== '';

/** An RSA public key for RS256 signatures with a name (RFC 7517 §4, RFC 7518 §6.3.1). Others are left out. */
const isSigningJwk = (jwk: unknown): jwk is Jwk => {
  if (typeof jwk !== 'object' || jwk === null) return false;
  const { kty, use, alg, kid, n, e, issuer } = jwk as Record<string, unknown>;
  return (
    kty === 'RSA' &&
    use === 'sig' &&
    (alg === undefined || alg === 'RS256') &&
    isText(kid) &&
    isText(n) &&
    isText(e) &&
    (issuer === undefined || isText(issuer))
  );
};

const parseKeySet = (body: string): Jwk[] => {
  let document: unknown;
  try {
    document = JSON.parse(body);
  } catch {
    throw new KeySetError('the key set is not JSON');
  }
  const keys = (document as { keys?: unknown } | null)?.keys;
  if (!Array.isArray(keys)) throw new KeySetError('the key set has no "keys"');
  if (keys.length > maxKeys) throw new KeySetError(`the key set has more than ${maxKeys} keys`);
  return keys.filter(isSigningJwk);
};

/** Refuses sets in which one name stands for two keys: which of them verified would be chance. */
const assertUniqueKids = (jwks: readonly Jwk[]): void => {
  const byKid = new Map<string, Jwk>();
  for (const jwk of jwks) {
    const other = byKid.get(jwk.kid);
    if (other && (other.n !== jwk.n || other.e !== jwk.e)) {
      throw new KeySetError('two keys of the set have one kid');
    }
    byKid.set(jwk.kid, jwk);
  }
};

/**
 * Fetches a JWK set and returns those of its keys that may verify tokens: `use` is `sig`, RSA of at least 2048 bits,
 * unique `kid`. jwks-rsa imports the keys; fetching and choosing are ours.
 *
 * @throws {@link KeySetError} for an answer that is no usable set, so that it never replaces one that is
 * @throws EntraNetworkError without an answer
 */
export const fetchSigningKeys = async (
  network: EntraNetwork,
  url: string,
  headers: Readonly<Record<string, string>>,
): Promise<SigningKey[]> => {
  const issuers = new Map<string, unknown>();
  const client = new jwksRsa.JwksClient({
    jwksUri: url,
    cache: false,
    rateLimit: false,
    fetcher: async (uri) => {
      const { status, body } = await network.request(uri, {
        headers: { accept: 'application/json', ...headers },
      });
      if (status !== 200) throw new KeySetError(`the keys address answered ${status}`);
      const keys = parseKeySet(body);
      assertUniqueKids(keys);
      if (keys.length === 0) throw new KeySetError('the key set has no signing key');
      for (const { kid, issuer } of keys) issuers.set(kid, issuer);
      return { keys: keys.map(({ kid, n, e }) => ({ kty: 'RSA', use: 'sig', kid, n, e })) };
    },
  });
  const keys = (await client.getSigningKeys())
    .map((key) => ({
      kid: key.kid,
      publicKey: createPublicKey(key.getPublicKey()),
      issuer: issuers.get(key.kid) as string | undefined,
    }))
    .filter(({ publicKey }) => (publicKey.asymmetricKeyDetails?.modulusLength ?? 0) >= minModulusBits);
  if (keys.length === 0) throw new KeySetError('the key set has no signing key of 2048 bits or more');
  return keys;
};
