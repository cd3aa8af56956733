import type { Middleware } from 'koa';
import type { Clock } from '../clock.ts';
import { matchesSecret } from '../directory/client-secret.ts';
import type { Application } from '../directory/entities.ts';
import { StsError } from '../sts-errors/sts-error.ts';
import type { TokenState } from './token-state.ts';

/** Compares with every secret of the application, so that the time taken does not say which one is right. */
const checkSecret = (application: Application, secret: string, nowMs: number): void => {
  const matching = application.passwordCredentials.filter((credential) => matchesSecret(credential, secret));
  const known = matching.filter((credential) => credential.visibleFromMs <= nowMs);
  if (known.some((credential) => credential.startMs <= nowMs && nowMs < credential.endMs)) return;
  const { appId } = application;
  if (known.some((credential) => nowMs >= credential.endMs)) throw new StsError('expiredSecret', { appId });
  throw new StsError(
    'wrongSecret',
    { appId },
    matching.length > 0 ? 'the secret is right, and not in force yet' : undefined,
  );
};

/** Proves that the client is who it says: by a secret. */
export const authenticateClient = (clock: Clock): Middleware<TokenState> =>
  function authenticateClient(ctx, next) {
    const { parameters, clientApplication } = ctx.state;
    const secret = parameters.get('client_secret');
    if (secret === undefined) throw new StsError('missingCredential');
    checkSecret(clientApplication, secret, clock());
    ctx.state.clientAuthentication = '1';
    return next();
  };
