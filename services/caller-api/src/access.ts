import { propagationHeaders } from '@countersign/service-kit';
import { authenticate, type Policy, type Principal, type TokenVerifier } from '@countersign/shared-auth';
import type { Middleware } from 'koa';
import type { JourneyState } from './journey.ts';

/** Who may call this API. */
export type AccessMode =
  /** Whoever reaches it. Writes only where that was asked for as well. */
  | { mode: 'anonymous'; writes: boolean }
  /** Applications with an app role of this API; without a second one, nobody writes. */
  | { mode: 'app-role'; verifier: TokenVerifier; readRole: string; writeRole: string | undefined }
  /** These applications alone: an ingress that lets people sign in, and says by a token of its own that it did. */
  | { mode: 'ingress'; verifier: TokenVerifier; applicationIds: readonly string[] };

/** An access mode at work. */
export interface Access {
  /** What every request has to pass. */
  guard: Middleware<JourneyState> | undefined;
  /** Whether who passed them may also write. */
  mayWrite: (state: { principal?: Principal }) => boolean;
  /** Rejects while callers cannot be told. */
  ready: () => Promise<void>;
}

export const createAccess = (access: AccessMode): Access => {
  if (access.mode === 'anonymous') {
    return { guard: undefined, mayWrite: () => access.writes, ready: async () => undefined };
  }
  const { verifier } = access;
  const mayWrite: Access['mayWrite'] =
    access.mode === 'ingress'
      ? () => true
      : ({ principal }) =>
          access.writeRole !== undefined && principal?.roles.includes(access.writeRole) === true;
  const guard = authenticate(verifier, {
    policy: policyOf(access),
    headers: (ctx) => propagationHeaders(ctx.state['requestContext'] as JourneyState['requestContext']),
    onPrincipal: ({ state }, { applicationId, objectId, tenantId, tokenId }) => {
      const { logFields } = state as JourneyState;
      logFields['azp'] = applicationId;
      logFields['oid'] = objectId;
      logFields['tid'] = tenantId;
      logFields['uti'] = tokenId;
    },
  });
  return {
    guard: guard as unknown as Middleware<JourneyState>,
    mayWrite,
    ready: () => verifier.ready(),
  };
};

const policyOf = (access: Exclude<AccessMode, { mode: 'anonymous' }>): Policy => {
  if (access.mode === 'ingress') return { applications: access.applicationIds };
  const read: Policy = { appRole: access.readRole };
  if (access.writeRole === undefined) return { byMethod: { GET: read } };
  const write: Policy = { appRole: access.writeRole };
  return { byMethod: { GET: read, POST: write, PUT: write } };
};
