import { InvalidTokenError, type TokenCheck } from './errors.ts';
import { topLevelKeys } from './json-keys.ts';

export interface CompactJws {
  readonly kid: string;
  /** Not yet verified. */
  readonly claims: Readonly<Record<string, unknown>>;
}

/** Entra's tokens are some 1 to 4 kB; Node's own limit on all headers together is 16 KiB. */
export const maxTokenLength = 16 * 1024;

const maxKidLength = 256;
const base64url = /^[A-Za-z0-9_-]+$/;
const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Claims that decide. A second one, also in another case, is refused: two readers of one token must not see two
 * identities (RFC 8725 §2.4).
 */
const securityClaims = new Set([
  'acr',
  'appid',
  'appidacr',
  'aud',
  'azp',
  'azpacr',
  'exp',
  'iat',
  'idtyp',
  'iss',
  'nbf',
  'oid',
  'roles',
  'scp',
  'sub',
  'tid',
  'uti',
  'ver',
]);

const fail = (check: TokenCheck): never => {
  throw new InvalidTokenError(check);
};

/** Bytes of a base64url segment whose text is the only one for these bytes (RFC 7515 §2, RFC 4648 §3.5). */
const decodeSegment = (segment: string): Buffer => {
  if (!base64url.test(segment)) fail('encoding');
  const bytes = Buffer.from(segment, 'base64url');
  // Unused trailing bits could be varied to give one token many spellings.
  if (bytes.toString('base64url') !== segment) fail('encoding');
  return bytes;
};

const parseObject = (segment: string, isDecisive: (key: string) => boolean): Record<string, unknown> => {
  let text: string;
  try {
    text = strictUtf8.decode(decodeSegment(segment));
  } catch (error) {
    if (error instanceof InvalidTokenError) throw error;
    return fail('encoding');
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return fail('json');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return fail('json');
  const seen = new Set<string>();
  for (const key of topLevelKeys(text)) {
    const folded = key.toLowerCase();
    const name = isDecisive(folded) ? folded : key;
    if (seen.has(name)) fail('duplicate_key');
    seen.add(name);
  }
  return value as Record<string, unknown>;
};

/**
 * Takes a compact JWS (RFC 7515 §7.1) apart, more strictly than a verifier does: three canonical base64url segments,
 * UTF-8, no repeated names, and a header that says RS256 and nothing that asks for other processing. `jku`, `jwk`,
 * `x5u` and `x5c` are not looked at (RFC 8725 §3.10). It verifies nothing.
 *
 * @throws {@link InvalidTokenError}
 */
export const parseCompactJws = (token: string): CompactJws => {
  if (token.length > maxTokenLength) fail('size');
  const segments = token.split('.');
  const [header, payload, signature] = segments;
  if (segments.length !== 3 || !header || !payload || !signature) return fail('structure');
  const { alg, typ, kid, crit, b64 } = parseObject(header, () => true);
  if (alg !== 'RS256') fail('algorithm');
  if (typ !== undefined && typ !== 'JWT') fail('type');
  if (crit !== undefined || b64 !== undefined) fail('critical');
  if (typeof kid !== 'string' || kid === '' || kid.length > maxKidLength) return fail('key_id');
  decodeSegment(signature);
  return { kid, claims: parseObject(payload, (key) => securityClaims.has(key)) };
};
