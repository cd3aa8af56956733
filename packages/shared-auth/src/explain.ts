import { createPublicKey, verify } from 'node:crypto';
import { applicationIdOf, claimChecks, isKeyIssuer, type Claims, type ClaimRules } from './claims.ts';
import { parseCompactJws } from './compact-jws.ts';
import { InvalidTokenError, type TokenCheck } from './errors.ts';
import { chooseSigningJwks, isStrongKey, type SigningKey } from './jwks.ts';
import { assertPolicy, refusalOf, type Policy } from './policy.ts';
import { toPrincipal } from './principal.ts';
import { createTrust, type TrustOptions } from './trust.ts';

export interface ExplainOptions extends TrustOptions {
  /** Keys of the authority, as its keys address publishes them. Without them the signature is left open. */
  keys?: readonly Readonly<Record<string, unknown>>[];
  /** The policy of the resource. Without one authorization is left open. */
  policy?: Policy;
  /** HTTP method for a policy by method. Default GET. */
  method?: string;
  /** The time to judge at, in milliseconds since 1970. */
  nowMs: number;
}

/** `skipped`: could not be made, because an earlier check failed or something to make it with was not given. */
export type CheckVerdict = 'passed' | 'failed' | 'skipped';

export interface ExplainedCheck {
  readonly check: TokenCheck | 'policy';
  readonly verdict: CheckVerdict;
  readonly found?: unknown;
  readonly expected?: unknown;
  /** The likely reason for a failure, and what to do. */
  readonly cause?: string;
}

export interface TokenExplanation {
  /** `incomplete`: nothing failed, but something was skipped. */
  readonly verdict: 'accepted' | 'refused' | 'incomplete';
  readonly checks: readonly ExplainedCheck[];
  /** What the token says, if it can be read: unverified unless the check `signature` has passed. */
  readonly claims: Claims | undefined;
}

interface Explanation {
  found: (claims: Claims) => unknown;
  expected: (rules: ClaimRules) => unknown;
  cause: (claims: Claims, rules: ClaimRules) => string;
}

/** The checks on form, in the order in which they are made, with what a failure means. */
const formChecks: ReadonlyMap<TokenCheck, string> = new Map([
  ['size', 'The token is larger than 16 KiB, or has too many members: no token of Entra is.'],
  [
    'structure',
    'This is no compact JWS of three parts: a truncated token, an encrypted one, or something else.',
  ],
  ['encoding', 'A part is not canonical base64url: the token was changed on its way, or re-encoded.'],
  ['json', 'Header or payload is no JSON object: the token was changed or truncated.'],
  ['duplicate_key', 'A name occurs twice in header or payload: the token is forged.'],
  ['algorithm', 'Entra signs with RS256; anything else is forged or of another issuer.'],
  ['type', 'The header says another type than JWT: not an access token of Entra.'],
  ['critical', 'The header asks for processing that Entra never asks for.'],
  ['key_id', 'The header names no key: not a token of Entra.'],
]);

const date = (seconds: unknown): unknown =>
  typeof seconds === 'number' && Math.abs(seconds) <= 8.64e12
    ? new Date(seconds * 1000).toISOString()
    : seconds;

const listed = (values: Iterable<string> | 'any'): unknown =>
  values === 'any' ? 'any' : [...values].toSorted();

const audienceCause = ({ aud, ver }: Claims, { audiences }: ClaimRules): string => {
  if (ver === '2.0' && typeof aud === 'string' && audiences['1.0'].has(aud)) {
    return 'A v2 token carries the client id as its audience, never the App ID URI: this token is not of Entra.';
  }
  if (aud === '00000003-0000-0000-c000-000000000000' || aud === 'https://graph.microsoft.com') {
    return 'This is a token for Microsoft Graph: the caller has to ask for the scope "<App ID URI of the API>/.default".';
  }
  return 'The caller asked for a token for another API: check the scope that it asks for, and the client id configured here.';
};

const issuerCause = ({ iss }: Claims): string =>
  typeof iss === 'string' && iss.startsWith('https://sts.windows.net/')
    ? 'The issuer is that of v1 tokens: the API has no requestedAccessTokenVersion 2, or v1 tokens are not enabled here.'
    : 'The token comes from another authority, cloud or tenant than the one configured here.';

const explanations: Readonly<Partial<Record<TokenCheck, Explanation>>> = {
  lifetime: {
    found: ({ exp, nbf, iat }) => ({ exp, nbf, iat }),
    expected: () => 'exp, nbf and iat as finite numbers',
    cause: () => 'Every token of Entra has the three times: this one is not of Entra.',
  },
  expired: {
    found: ({ exp }) => date(exp),
    expected: ({ skewSeconds }) => `later than now, give or take ${skewSeconds} s`,
    cause: () => 'The caller keeps a token for longer than it lives, or a clock is wrong.',
  },
  not_before: {
    found: ({ nbf }) => date(nbf),
    expected: ({ skewSeconds }) => `earlier than now, give or take ${skewSeconds} s`,
    cause: () => 'The clock of this machine is behind.',
  },
  issued_at: {
    found: ({ iat }) => date(iat),
    expected: ({ skewSeconds }) => `earlier than now, give or take ${skewSeconds} s`,
    cause: () => 'The clock of this machine is behind.',
  },
  version: {
    found: ({ ver }) => ver,
    expected: ({ versions }) => listed(versions),
    cause: ({ ver }) =>
      ver === '1.0'
        ? 'This is a v1 token: the API has no requestedAccessTokenVersion 2 in its app registration. Set it, or enable v1 tokens here.'
        : 'The API issues another token version than the one configured here.',
  },
  tenant: {
    found: ({ tid }) => tid,
    expected: ({ tenants }) => listed(tenants),
    cause: () => 'The caller lives in another tenant: check its authority, or add the tenant here.',
  },
  issuer: {
    found: ({ iss }) => iss,
    expected: ({ versions, tenants, issuerOf }) =>
      [...versions].flatMap((version) =>
        (tenants === 'any' ? ['{tenantid}'] : [...tenants]).map((tenant) => issuerOf(version, tenant)),
      ),
    cause: issuerCause,
  },
  audience: {
    found: ({ aud }) => aud,
    expected: ({ versions, audiences }) =>
      listed(new Set([...versions].flatMap((ver) => [...audiences[ver]]))),
    cause: audienceCause,
  },
  application: {
    found: applicationIdOf,
    expected: () => 'a GUID in azp (v1: appid)',
    cause: () => 'The token names no application: it is an id token, or not of Entra.',
  },
  object: {
    found: ({ oid }) => oid,
    expected: () => 'a GUID in oid',
    cause: () => 'The caller has no service principal in the tenant, or the token is not of Entra.',
  },
  app_only: {
    found: ({ idtyp, oid, sub, scp, nonce }) => ({ idtyp, oid, sub, scp, nonce }),
    expected: () => 'idtyp "app", or oid equal to sub; no scp and no nonce',
    cause: ({ scp, nonce }) => {
      if (scp !== undefined)
        return 'This token acts for a user (scp): the caller has to use client credentials.';
      if (nonce !== undefined) return 'This is an id token: the caller has to send its access token.';
      return 'This token stands for a user: the caller has to use client credentials.';
    },
  },
  roles: {
    found: ({ roles }) => roles,
    expected: () => 'absent, or a list of texts',
    cause: () => 'Entra writes roles as a list of texts: this token is not of Entra.',
  },
  token_id: {
    found: ({ uti }) => uti,
    expected: () => 'a text',
    cause: () => 'Every access token of Entra has a uti: this one is not of Entra.',
  },
};

const explainForm = (token: string): { checks: ExplainedCheck[]; kid?: string; claims?: Claims } => {
  try {
    const { kid, claims } = parseCompactJws(token);
    return { checks: [...formChecks.keys()].map((check) => ({ check, verdict: 'passed' })), kid, claims };
  } catch (error) {
    if (!(error instanceof InvalidTokenError)) throw error;
    const failedAt = [...formChecks.keys()].indexOf(error.check);
    const checks = [...formChecks].map(([check, cause], index): ExplainedCheck => {
      if (index === failedAt) return { check, verdict: 'failed', cause };
      return { check, verdict: index < failedAt ? 'passed' : 'skipped' };
    });
    return { checks };
  }
};

/** The key that a verifier would take, out of the same choice. */
const signingKeyOf = (
  keys: NonNullable<ExplainOptions['keys']>,
  kid: string,
): Pick<SigningKey, 'publicKey' | 'issuer'> | undefined => {
  try {
    const jwk = chooseSigningJwks(keys).find((each) => each.kid === kid);
    if (jwk === undefined) return undefined;
    const { n, e, issuer } = jwk;
    const publicKey = createPublicKey({ key: { kty: 'RSA', n, e }, format: 'jwk' });
    return isStrongKey(publicKey) ? { publicKey, issuer } : undefined;
  } catch {
    return undefined;
  }
};

const explainSignature = (
  token: string,
  kid: string,
  claims: Claims,
  { keys }: ExplainOptions,
  rules: ClaimRules,
): ExplainedCheck[] => {
  if (keys === undefined) {
    return [
      { check: 'signature', verdict: 'skipped', found: kid, cause: 'No keys were given to verify it with.' },
      { check: 'key_issuer', verdict: 'skipped' },
    ];
  }
  const names = keys.map((key) => key['kid']);
  const key = signingKeyOf(keys, kid);
  if (key === undefined) {
    const cause =
      'The authority does not publish this key, or not as one for tokens: the token is of another authority or tenant, or its key was withdrawn.';
    return [
      { check: 'signature', verdict: 'failed', found: kid, expected: names, cause },
      { check: 'key_issuer', verdict: 'skipped' },
    ];
  }
  const end = token.lastIndexOf('.');
  const isSigned = verify(
    'sha256',
    Buffer.from(token.slice(0, end)),
    key.publicKey,
    Buffer.from(token.slice(end + 1), 'base64url'),
  );
  const { issuer: keyIssuer } = key;
  const isBound = isKeyIssuer(keyIssuer, claims, rules);
  return [
    {
      check: 'signature',
      verdict: isSigned ? 'passed' : 'failed',
      found: kid,
      ...(!isSigned && { cause: 'The token was changed after it was signed, or it is forged.' }),
    },
    {
      check: 'key_issuer',
      verdict: isBound ? 'passed' : 'failed',
      found: keyIssuer,
      expected: claims['iss'],
      ...(!isBound && { cause: 'The key belongs to another issuer than the token claims.' }),
    },
  ];
};

/** Checks that have no meaning once another has failed. */
const prerequisites: Readonly<Partial<Record<TokenCheck, TokenCheck>>> = {
  expired: 'lifetime',
  not_before: 'lifetime',
  issued_at: 'lifetime',
  issuer: 'version',
  audience: 'version',
};

const explainClaims = (claims: Claims, rules: ClaimRules, nowMs: number): ExplainedCheck[] => {
  const failed = new Set<TokenCheck>();
  return claimChecks.map(({ check, passes }) => {
    const explanation = explanations[check];
    const detail = { found: explanation?.found(claims), expected: explanation?.expected(rules) };
    const need = prerequisites[check];
    if (need !== undefined && failed.has(need)) return { check, verdict: 'skipped', ...detail };
    if (passes(claims, rules, nowMs / 1000)) return { check, verdict: 'passed', ...detail };
    failed.add(check);
    return {
      check,
      verdict: 'failed',
      ...detail,
      ...(explanation && { cause: explanation.cause(claims, rules) }),
    };
  });
};

const explainPolicy = (claims: Claims, { policy, method = 'GET' }: ExplainOptions): ExplainedCheck => {
  const found = { roles: claims['roles'] ?? [], application: applicationIdOf(claims) };
  if (policy === undefined) return { check: 'policy', verdict: 'skipped', found };
  assertPolicy(policy);
  const refusal = refusalOf(policy, toPrincipal(structuredClone(claims)), method);
  if (refusal === undefined) return { check: 'policy', verdict: 'passed', found, expected: policy };
  const cause =
    claims['roles'] === undefined
      ? 'The application was granted no app role of this API: assign one with admin consent, then get a new token, since the old one never changes.'
      : 'The application has other roles than the one required: assign it, then get a new token.';
  return { check: 'policy', verdict: 'failed', found, expected: policy, cause };
};

/**
 * Every check that a verifier makes on a token, with its verdict, what was found, what was expected and the likely
 * cause of a failure. Pure and without network; for people who look into a 401 or 403, never for deciding one.
 *
 * @throws TypeError for options that cannot be meant
 */
export const explainToken = (token: string, options: ExplainOptions): TokenExplanation => {
  const { rules } = createTrust(options);
  const { checks, kid, claims } = explainForm(token);
  if (kid !== undefined && claims !== undefined) {
    checks.push(...explainSignature(token, kid, claims, options, rules));
    checks.push(...explainClaims(claims, rules, options.nowMs));
    const areClaimsGood = checks.every(({ verdict }) => verdict !== 'failed');
    checks.push(areClaimsGood ? explainPolicy(claims, options) : { check: 'policy', verdict: 'skipped' });
  }
  const verdicts = new Set(checks.map(({ verdict }) => verdict));
  const passed = verdicts.has('skipped') ? 'incomplete' : 'accepted';
  return { verdict: verdicts.has('failed') ? 'refused' : passed, checks, claims };
};
