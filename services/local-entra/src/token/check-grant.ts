import type { Middleware } from 'koa';
import { StsError } from '../sts-errors/sts-error.ts';
import type { TokenState } from './token-state.ts';

/** Entra asks for a credential before it looks at anything else. */
export const requireCredential: Middleware<TokenState> = function requireCredential(ctx, next) {
  const { parameters } = ctx.state;
  const hasCredential = parameters.has('client_secret') || parameters.has('client_assertion');
  if (parameters.get('grant_type') === 'client_credentials' && !hasCredential) {
    throw new StsError('missingCredential');
  }
  return next();
};

/** Only client credentials: there are no people here. */
export const checkGrantType: Middleware<TokenState> = function checkGrantType(ctx, next) {
  const grantType = ctx.state.parameters.get('grant_type');
  if (grantType === undefined) throw new StsError('missingParameter', { parameter: 'grant_type' });
  if (grantType !== 'client_credentials') throw new StsError('unsupportedGrantType', { grantType });
  return next();
};
