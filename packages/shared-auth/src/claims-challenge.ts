import {
  CallerNotAllowedError,
  InsufficientClaimsError,
  type AuthError,
  type ClaimsChallenge,
} from './errors.ts';
import type { Principal } from './principal.ts';

/**
 * The refusal of a caller whose token lacks claims: a claims challenge if the caller has said that it understands
 * one (`xms_cc` holds `cp1`), else a plain 403, since it would not know what to do with it.
 */
export const challengeForClaims = (principal: Principal, challenge: ClaimsChallenge): AuthError => {
  const { xms_cc: capabilities } = principal.claims;
  const logFields = { azp: principal.applicationId };
  return Array.isArray(capabilities) && capabilities.includes('cp1')
    ? new InsufficientClaimsError(challenge, { logFields })
    : new CallerNotAllowedError('the token lacks claims, and the caller takes no claims challenge', {
        logFields,
      });
};
