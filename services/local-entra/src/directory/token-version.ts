import type { Application } from './entities.ts';

/**
 * Version of the access tokens for an API. A registration that does not say gets version 1, or 2 where personal
 * accounts may sign in.
 */
export const tokenVersionOf = (
  application: Pick<Application, 'requestedAccessTokenVersion' | 'signInAudience'>,
): 1 | 2 =>
  application.requestedAccessTokenVersion ??
  (application.signInAudience.includes('PersonalMicrosoftAccount') ? 2 : 1);
