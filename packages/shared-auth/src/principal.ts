import { applicationIdOf, credentialOf, type Claims } from './claims.ts';

/** How an application proved itself when it got its token. */
export type ClientCredentialKind = 'none' | 'secret' | 'certificate' | 'unknown';

/** The application that a verified app-only token stands for. Frozen: it is shared by all requests with that token. */
export interface Principal {
  /** Client id of the calling application: `azp`, in v1 tokens `appid`. */
  readonly applicationId: string;
  /** Object id of its service principal, `oid`. With `tenantId` it is the stable identity of the caller. */
  readonly objectId: string;
  /** `tid`. */
  readonly tenantId: string;
  /** App roles granted to it for this API; empty when none is. */
  readonly roles: readonly string[];
  /** `azpacr`, in v1 tokens `appidacr`. */
  readonly credential: ClientCredentialKind;
  /** `uti`: names this token in Entra's sign-in log. */
  readonly tokenId: string;
  /** End of the token's life, `exp`. */
  readonly expiresAt: Date;
  /** All claims, deeply frozen. */
  readonly claims: Claims;
}

const credentialKinds: Readonly<Record<string, ClientCredentialKind>> = {
  '0': 'none',
  '1': 'secret',
  '2': 'certificate',
};

const deepFreeze = <T>(value: T): T => {
  if (typeof value !== 'object' || value === null) return value;
  for (const member of Object.values(value)) deepFreeze(member);
  return Object.freeze(value);
};

/** Makes a principal of claims that have passed every check. */
export const toPrincipal = (verified: Claims): Principal => {
  const claims = deepFreeze(verified);
  const text = (name: string): string => claims[name] as string;
  const expiresAtMs = (claims['exp'] as number) * 1000;
  return Object.freeze({
    applicationId: applicationIdOf(claims) as string,
    objectId: text('oid'),
    tenantId: text('tid'),
    roles: (claims['roles'] ?? Object.freeze([])) as readonly string[],
    credential: credentialKinds[String(credentialOf(claims))] ?? 'unknown',
    tokenId: text('uti'),
    // A frozen Date can still be set, so everybody gets one of their own.
    get expiresAt() {
      return new Date(expiresAtMs);
    },
    claims,
  });
};
