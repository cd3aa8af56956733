import type { TokenCheck } from './errors.ts';

/** `ver` of a token. */
export type TokenVersion = '1.0' | '2.0';

/** What the claims of a token are held against. */
export interface ClaimRules {
  readonly versions: ReadonlySet<TokenVersion>;
  /** Lower-case GUIDs. */
  readonly tenants: ReadonlySet<string> | 'any';
  readonly audiences: Readonly<Record<TokenVersion, ReadonlySet<string>>>;
  readonly issuerOf: (version: TokenVersion, tenantId: string) => string;
  /** Tolerated difference between Entra's clock and ours. */
  readonly skewSeconds: number;
}

export type Claims = Readonly<Record<string, unknown>>;

/** One check of the claims: `check` names it, `passes` decides it. */
export interface ClaimCheck {
  readonly check: TokenCheck;
  readonly passes: (claims: Claims, rules: ClaimRules, nowSeconds: number) => boolean;
}

const guid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

export const isGuid = (value: unknown): value is string => typeof value === 'string' && guid.test(value);

/** A time that a Date can hold: JSON can say 1e400, which is read as Infinity and would never end. */
const isNumericDate = (value: unknown): value is number =>
  typeof value === 'number' && Math.abs(value) <= 8.64e12;

const isText = (value: unknown): value is string => typeof value === 'string' && value !== '';

export const isTokenVersion = (ver: unknown): ver is TokenVersion => ver === '2.0' || ver === '1.0';

/** Client id of the application that the token was issued to: v2 calls it `azp`, v1 `appid`. */
export const applicationIdOf = ({ ver, azp, appid }: Claims): unknown => (ver === '1.0' ? appid : azp);

/** How that application proved itself to Entra: `"0"` not at all, `"1"` by a secret, `"2"` by a certificate. */
export const credentialOf = ({ ver, azpacr, appidacr }: Claims): unknown =>
  ver === '1.0' ? appidacr : azpacr;

/**
 * The checks in the order in which they are made. jsonwebtoken has made some of them before, but only where the
 * claim or the option is there; here each claim has to be.
 */
export const claimChecks: readonly ClaimCheck[] = [
  {
    check: 'lifetime',
    passes: ({ exp, nbf, iat }) => isNumericDate(exp) && isNumericDate(nbf) && isNumericDate(iat),
  },
  { check: 'expired', passes: ({ exp }, { skewSeconds }, now) => now < (exp as number) + skewSeconds },
  { check: 'not_before', passes: ({ nbf }, { skewSeconds }, now) => now >= (nbf as number) - skewSeconds },
  { check: 'issued_at', passes: ({ iat }, { skewSeconds }, now) => now >= (iat as number) - skewSeconds },
  { check: 'version', passes: ({ ver }, { versions }) => isTokenVersion(ver) && versions.has(ver) },
  {
    check: 'tenant',
    passes: ({ tid }, { tenants }) => isGuid(tid) && (tenants === 'any' || tenants.has(tid)),
  },
  {
    // The issuer that this tenant has in this version: `iss`, `tid` and `ver` cannot be mixed from several.
    check: 'issuer',
    passes: ({ iss, ver, tid }, { issuerOf }) => iss === issuerOf(ver as TokenVersion, tid as string),
  },
  {
    // A string, as Entra sends it: a list of audiences is a token for others as well.
    check: 'audience',
    passes: ({ aud, ver }, { audiences }) => isText(aud) && audiences[ver as TokenVersion].has(aud),
  },
  { check: 'application', passes: (claims) => isGuid(applicationIdOf(claims)) },
  { check: 'object', passes: ({ oid }) => isGuid(oid) },
  {
    // `idtyp` is an optional claim; without it, only an application is its own subject. Users' tokens have `scp`,
    // id tokens have `nonce`.
    check: 'app_only',
    passes: ({ idtyp, oid, sub, scp, nonce }) =>
      scp === undefined && nonce === undefined && (idtyp === undefined ? oid === sub : idtyp === 'app'),
  },
  {
    check: 'roles',
    passes: ({ roles }) => roles === undefined || (Array.isArray(roles) && roles.every(isText)),
  },
  { check: 'token_id', passes: ({ uti }) => isText(uti) },
];

/** The first check that the claims fail, if any. */
export const failedCheck = (claims: Claims, rules: ClaimRules, nowSeconds: number): TokenCheck | undefined =>
  claimChecks.find(({ passes }) => !passes(claims, rules, nowSeconds))?.check;

/**
 * Whether a key that Entra binds to `keyIssuer` (perhaps a template with `{tenantid}`) may sign for this tenant. Entra
 * names the v2 issuer there for v1 tokens too.
 */
export const isKeyIssuer = (
  keyIssuer: string | undefined,
  { iss, tid }: Claims,
  rules: ClaimRules,
): boolean => {
  if (keyIssuer === undefined) return true;
  const issuer = keyIssuer.replace('{tenantid}', tid as string);
  return issuer === iss || issuer === rules.issuerOf('2.0', tid as string);
};
