import type { TokenCheck } from './errors.ts';

/** What the claims of a token are held against. */
export interface ClaimRules {
  /** Exact `iss`. */
  issuer: string;
  /** Exact `tid`. */
  tenantId: string;
  /** Exact `aud`. */
  audience: string;
  /** Tolerated difference between Entra's clock and ours. */
  skewSeconds: number;
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
  { check: 'version', passes: ({ ver }) => ver === '2.0' },
  { check: 'tenant', passes: ({ tid }, { tenantId }) => tid === tenantId },
  { check: 'issuer', passes: ({ iss }, { issuer }) => iss === issuer },
  // A string, as Entra sends it: a list of audiences is a token for others as well.
  { check: 'audience', passes: ({ aud }, { audience }) => aud === audience },
  { check: 'application', passes: ({ azp }) => isGuid(azp) },
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

/** Whether a key that Entra binds to `issuer` (perhaps a template with `{tenantid}`) may sign these claims. */
export const isKeyIssuer = (issuer: string | undefined, { iss, tid }: Claims): boolean =>
  issuer === undefined || issuer.replace('{tenantid}', String(tid)) === iss;
