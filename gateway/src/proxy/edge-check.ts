import { bearerToken, type Principal, refusalOf, type TokenVerifier } from '@countersign/shared-auth';
import type { Route } from '../routes/route-schema.ts';

export interface EdgeRequest {
  /** Values of every Authorization header. */
  authorization: readonly string[];
  method: string;
  query: string;
  /** Sent with a key fetch that this request causes. */
  headers: () => Readonly<Record<string, string>>;
  /** Told of a token that was not known, with `performance.now()` of when its verification began. */
  onVerified: (startMs: number, outcome: 'miss' | 'failed') => void;
}

/**
 * Checks a request against its route's access: the same check that the API behind makes for itself, made early, so that
 * what would be refused costs the API nothing, and so that limits can count by application.
 *
 * @returns undefined for a public route.
 * @throws what shared-auth's verifier and policies throw.
 */
export const checkAtEdge = (
  { access }: Route,
  verifiers: ReadonlyMap<string, TokenVerifier>,
  request: EdgeRequest,
): Principal | Promise<Principal> | undefined => {
  if (access === 'public') return undefined;
  const verifier = verifiers.get(access.api);
  // The route table was refused if this could be; without a check nothing passes.
  if (!verifier) throw new Error(`no API "${access.api}" to check tokens for`);
  const token = bearerToken({ authorization: request.authorization, query: request.query.slice(1) });
  const allow = (principal: Principal): Principal => {
    const refusal = refusalOf(access.policy, principal, request.method);
    if (refusal) throw refusal;
    return principal;
  };
  const known = verifier.recall(token);
  if (known) return allow(known);
  const startMs = performance.now();
  return verifier.verify(token, { headers: request.headers() }).then(
    (principal) => {
      request.onVerified(startMs, 'miss');
      return allow(principal);
    },
    (error: unknown) => {
      request.onVerified(startMs, 'failed');
      throw error;
    },
  );
};

/** Who calls, as the gateway tells the upstream. The upstream believes its own check of the token alone. */
export const addIdentity = (headers: string[], { applicationId, objectId, tenantId }: Principal): void => {
  headers.push('X-Caller-Application-Id', applicationId);
  headers.push('X-Caller-Object-Id', objectId);
  headers.push('X-Caller-Tenant-Id', tenantId);
};
