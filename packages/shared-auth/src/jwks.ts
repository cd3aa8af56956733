import { createPublicKey, type KeyObject } from 'node:crypto';
import jwksRsa from 'jwks-rsa';
import { contextHeadersOf } from './context-headers.ts';
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
  override readonly name: string = 'KeySetError';
}

/** The issuer says that the address of the keys is of no tenant: nothing that passes by itself. */
export class UnknownTenantError extends KeySetError {
  override readonly name = 'UnknownTenantError';
}

const minModulusBits = 2048;
/** A key of any size would let the set decide what a verification costs. */
const maxModulusBits = 8192;
/** F4, the least exponent that NIST SP 800-89 §5.3.3 takes, and a bound on the cost again. */
const minExponent = 65_537n;
const maxExponent = 2n ** 32n;
const maxKeys = 1000;

interface Jwk extends Record<string, unknown> {
  kid: string;
  n: string;
  e: string;
  issuer?: string;
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

/** Whether the numbers of a key are fit for RS256. */
export const isStrongKey = ({ asymmetricKeyDetails }: KeyObject): boolean => {
  const { modulusLength = 0, publicExponent = 0n } = asymmetricKeyDetails ?? {};
  const isExponent =
    publicExponent >= minExponent && publicExponent < maxExponent && publicExponent % 2n === 1n;
  return isExponent && modulusLength >= minModulusBits && modulusLength <= maxModulusBits;
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

/** The keys of a set that may sign tokens, as far as the set says. @throws {@link KeySetError} for a set as a whole */
export const chooseSigningJwks = (keys: readonly unknown[]): Jwk[] => {
  if (keys.length > maxKeys) throw new KeySetError(`the key set has more than ${maxKeys} keys`);
  const chosen = keys.filter(isSigningJwk);
  assertUniqueKids(chosen);
  if (chosen.length === 0) throw new KeySetError('the key set has no signing key');
  return chosen;
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
  return chooseSigningJwks(keys);
};

/**
 * Fetches a JWK set and returns those of its keys that may verify tokens: `use` is `sig`, RSA of 2048 to
 * 8192 bits, unique `kid`. jwks-rsa imports the keys; fetching and choosing are ours.
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
        headers: { ...contextHeadersOf(headers), accept: 'application/json' },
      });
      if (status === 400 || status === 404)
        throw new UnknownTenantError(`${url} answered ${status}, as where there is no such tenant`);
      if (status !== 200) throw new KeySetError(`the keys address answered ${status}`);
      const keys = parseKeySet(body);
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
    .filter(({ publicKey }) => isStrongKey(publicKey));
  if (keys.length === 0) throw new KeySetError('the key set has no signing key of 2048 to 8192 bits');
  return keys;
};
