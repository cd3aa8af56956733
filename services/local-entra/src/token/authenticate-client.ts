import type { Middleware } from 'koa';
import { createCertificateAssertions } from '../assertions/certificate-assertion.ts';
import { decodeAssertion } from '../assertions/client-assertion.ts';
import { checkFederatedAssertion, isFederated } from '../assertions/federated-assertion.ts';
import { matchesSecret } from '../directory/client-secret.ts';
import type { Application } from '../directory/entities.ts';
import type { EntraContext } from '../entra-context.ts';
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

const jwtBearer = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

/** Proves that the client is who it says: by a secret, its certificate, or a token of an issuer that it trusts. */
export const authenticateClient = (entra: EntraContext): Middleware<TokenState> => {
  const checkCertificateAssertion = createCertificateAssertions();

  return async function authenticateClient(ctx, next) {
    const { parameters, clientApplication: application, tenant } = ctx.state;
    const nowMs = entra.clock();
    const text = parameters.get('client_assertion');
    if (text === undefined) {
      checkSecret(application, parameters.get('client_secret') ?? '', nowMs);
      ctx.state.clientAuthentication = '1';
      await next();
      return;
    }
    const type = parameters.get('client_assertion_type');
    if (type === undefined) throw new StsError('missingParameter', { parameter: 'client_assertion_type' });
    if (type !== jwtBearer) throw new StsError('unsupportedAssertionType');
    const assertion = decodeAssertion(text);
    if (isFederated(assertion)) {
      await checkFederatedAssertion(assertion, application, entra.issuerKeys, nowMs);
    } else {
      checkCertificateAssertion(assertion, { application, tenant, origin: entra.origin(), nowMs });
    }
    ctx.state.clientAuthentication = '2';
    await next();
  };
};
