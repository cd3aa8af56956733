import type { Clock } from '../clock.ts';

/** What Entra takes a while to make known to its token service. */
export const propagatedKinds = ['secrets', 'certificates', 'federatedCredentials', 'roles'] as const;
export type PropagatedKind = (typeof propagatedKinds)[number];

/** How long a change made through Graph takes to reach the token endpoint. At once, unless told otherwise. */
export interface Propagation {
  /** Milliseconds per kind. */
  delaysMs: Record<PropagatedKind, number>;
  /** When a change made now will be known. */
  visibleFromMs: (kind: PropagatedKind) => number;
}

export const createPropagation = (clock: Clock): Propagation => {
  const delaysMs = { secrets: 0, certificates: 0, federatedCredentials: 0, roles: 0 };
  return {
    delaysMs,
    visibleFromMs: (kind) => (delaysMs[kind] === 0 ? 0 : clock() + delaysMs[kind]),
  };
};
