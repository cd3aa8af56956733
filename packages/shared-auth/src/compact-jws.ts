import { isUtf8 } from 'node:buffer';
import { InvalidTokenError, type TokenCheck } from './errors.ts';
import { topLevelKeys } from './json-keys.ts';

export interface CompactJws {
  readonly kid: string;
  /** Not yet verified. */
  readonly claims: Readonly<Record<string, unknown>>;
  /** What is signed (RFC 7515 §5.2): header and payload as they came. */
  readonly signingInput: string;
  readonly signature: Uint8Array;
}

/** Entra's tokens are some 1 to 4 kB; Node's own limit on all headers together is 16 KiB. */
export const maxTokenLength = 16 * 1024;

const maxKidLength = 256;
/** Entra's headers have 3 to 5 members, its payloads some 20 to 40. */
const maxHeaderMembers = 32;
const maxClaims = 1000;

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
  const bytes = Buffer.from(segment, 'base64url');
  // Other characters are skipped and unused trailing bits ignored, which would give one token many spellings.
  if (bytes.toString('base64url') !== segment) fail('encoding');
  return bytes;
};

/** Whether a name that decides occurs again in another case. One pass: the text comes from anybody. */
const hasFoldedRepetition = (keys: readonly string[], isDecisive: (key: string) => boolean): boolean => {
  const seen = new Set<string>();
  for (const key of keys) {
    const folded = key.toLowerCase();
    if (!isDecisive(folded)) continue;
    if (seen.has(folded)) return true;
    seen.add(folded);
  }
  return false;
};

const parseObject = (
  segment: string,
  isDecisive: (key: string) => boolean,
  maxMembers: number,
): Record<string, unknown> => {
  const bytes = decodeSegment(segment);
  if (!isUtf8(bytes)) fail('encoding');
  const text = bytes.toString('utf8');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return fail('json');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return fail('json');
  const keys = topLevelKeys(text);
  if (keys.length > maxMembers) fail('size');
  if (keys.length !== Object.keys(value).length || hasFoldedRepetition(keys, isDecisive))
    fail('duplicate_key');
  return value as Record<string, unknown>;
};

/** Of a header every member decides. */
const isHeaderMember = (): boolean => true;
const isSecurityClaim = (key: string): boolean => securityClaims.has(key);

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
  const { alg, typ, kid, crit, b64 } = parseObject(header, isHeaderMember, maxHeaderMembers);
  if (alg !== 'RS256') fail('algorithm');
  if (typ !== undefined && typ !== 'JWT') fail('type');
  if (crit !== undefined || b64 !== undefined) fail('critical');
  if (typeof kid !== 'string' || kid === '' || kid.length > maxKidLength) return fail('key_id');
  return {
    kid,
    signature: decodeSegment(signature),
    claims: parseObject(payload, isSecurityClaim, maxClaims),
    signingInput: token.slice(0, header.length + 1 + payload.length),
  };
};
