import { randomInt } from 'node:crypto';
import type { Middleware } from 'koa';
import type { EntraContext } from '../entra-context.ts';
import { issueAccessToken, type IssuedToken } from './access-token.ts';
import type { EndpointVersion, TokenState } from './token-state.ts';

/** Entra's default: 60 to 90 minutes, 75 on average. */
const randomLifetimeSeconds = (): number => randomInt(3600, 5401);

/** Only tokens that live for two hours or more say when to renew them, at half of their life. */
const refreshIn = (configured: number | null, lifetimeSeconds: number): number | undefined =>
  configured ?? (lifetimeSeconds >= 7200 ? Math.floor(lifetimeSeconds / 2) : undefined);

interface Lifetimes {
  expires_in: number;
  ext_expires_in: number;
  refresh_in?: number;
}

const versionTwoBody = (issued: IssuedToken, lifetimes: Lifetimes): object => ({
  token_type: 'Bearer',
  ...lifetimes,
  access_token: issued.token,
});

/** Numbers are strings here. */
const versionOneBody = (issued: IssuedToken, lifetimes: Lifetimes, resource: string): object => ({
  token_type: 'Bearer',
  ...Object.fromEntries(Object.entries(lifetimes).map(([name, seconds]) => [name, String(seconds)])),
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
        roles: roles.map(({ value }) => value),
        nowSeconds: Math.floor(entra.clock() / 1000),
        lifetimeSeconds,
      },
      entra.signingKeys.current(),
      entra.origin(),
    );
    ctx.state.logFields['uti'] = issued.uti;
    // Entra counts from the second in which the answer arrives.
    const expiresIn = lifetimeSeconds - 1;
    const refreshInSeconds = refreshIn(resourceApplication.refreshInSeconds, lifetimeSeconds);
    const lifetimes: Lifetimes = {
      expires_in: expiresIn,
      ext_expires_in: expiresIn,
      ...(refreshInSeconds !== undefined && { refresh_in: refreshInSeconds }),
    };
    ctx.body =
      version === 2
        ? versionTwoBody(issued, lifetimes)
        : versionOneBody(issued, lifetimes, requestedResource);
  };
