import { randomInt } from 'node:crypto';
import type { Middleware } from 'koa';
import type { EntraContext } from '../entra-context.ts';
import { issueAccessToken, type IssuedToken } from './access-token.ts';
import type { EndpointVersion, TokenState } from './token-state.ts';

/** Entra's default: 60 to 90 minutes, 75 on average. */
const randomLifetimeSeconds = (): number => randomInt(3600, 5401);

const versionTwoBody = (issued: IssuedToken, expiresIn: number): object => ({
  token_type: 'Bearer',
  expires_in: expiresIn,
  ext_expires_in: expiresIn,
  access_token: issued.token,
});

/** Numbers are strings here. */
const versionOneBody = (issued: IssuedToken, expiresIn: number, resource: string): object => ({
  token_type: 'Bearer',
  expires_in: String(expiresIn),
  ext_expires_in: String(expiresIn),
  expires_on: String(issued.expiresOn),
  not_before: String(issued.notBefore),
  resource,
  access_token: issued.token,
});

/** The answer (RFC 6749 §5.1). Never a refresh token in this grant. */
export const issueToken = (entra: EntraContext, version: EndpointVersion): Middleware<TokenState> =>
  function issueToken(ctx) {
    const { tenant, client, clientAuthentication, requestedResource, resourceApplication, roles } = ctx.state;
    const lifetimeSeconds = resourceApplication.tokenLifetimeSeconds ?? randomLifetimeSeconds();
    const issued = issueAccessToken(
      {
        tenantId: tenant.id,
        client,
        clientAuthentication,
        resourceApplication,
        requestedResource,
        roles,
        nowSeconds: Math.floor(entra.clock() / 1000),
        lifetimeSeconds,
      },
      entra.signingKeys.current(),
      entra.origin(),
    );
    ctx.state.logFields['uti'] = issued.uti;
    // Entra counts from the second in which the answer arrives.
    const expiresIn = lifetimeSeconds - 1;
    ctx.body =
      version === 2
        ? versionTwoBody(issued, expiresIn)
        : versionOneBody(issued, expiresIn, requestedResource);
  };
