import type { RotationMode } from '../certificates/signing-keys.ts';
import type { EntraContext } from '../entra-context.ts';
import type { Faults } from './faults.ts';
import { createForge, type Forge } from './forge.ts';
import { propagatedKinds, type PropagatedKind } from './propagation.ts';
import type { RequestLog } from './request-log.ts';

/** What makes this Entra misbehave on purpose. The same functions are behind the admin port. */
export interface Controls {
  /** Requests that are late or fail. */
  faults: Faults;
  /**
   * `graceful`: the next published key signs from now on, and another one is published. `emergency`: every key is
   * replaced at once, and tokens signed before are worthless.
   */
  rotateKeys: (mode?: RotationMode) => Promise<void>;
  /** Signs with a key that the key documents do not show before this many seconds have passed. */
  hideKey: (seconds: number) => Promise<void>;
  /** Puts Entra's clock this many seconds ahead, or behind where negative. Not added up. */
  shiftClock: (seconds: number) => void;
  clockShiftSeconds: () => number;
  /** How many seconds a change made through Graph takes to reach the token endpoint. */
  delayPropagation: (seconds: { [Kind in PropagatedKind]?: number | undefined }) => void;
  propagationSeconds: () => Record<PropagatedKind, number>;
  forge: Forge;
  /** The last requests and their causes. */
  requests: RequestLog;
}

export interface ControlsInput {
  entra: EntraContext;
  faults: Faults;
  requests: RequestLog;
  clockShift: { ms: number };
}

export const createControls = ({ entra, faults, requests, clockShift }: ControlsInput): Controls => {
  const { delaysMs } = entra.propagation;
  return {
    faults,
    rotateKeys: (mode = 'graceful') => entra.signingKeys.rotate(mode),
    hideKey: (seconds) => entra.signingKeys.hide(entra.clock() + seconds * 1000),
    shiftClock: (seconds) => {
      clockShift.ms = seconds * 1000;
    },
    clockShiftSeconds: () => clockShift.ms / 1000,
    delayPropagation: (seconds) => {
      for (const kind of propagatedKinds) delaysMs[kind] = (seconds[kind] ?? delaysMs[kind] / 1000) * 1000;
    },
    propagationSeconds: () => ({
      secrets: delaysMs.secrets / 1000,
      certificates: delaysMs.certificates / 1000,
      federatedCredentials: delaysMs.federatedCredentials / 1000,
      roles: delaysMs.roles / 1000,
    }),
    forge: createForge(entra),
    requests,
  };
};
