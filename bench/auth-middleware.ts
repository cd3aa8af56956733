import { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Socket } from 'node:net';
import { authenticate, type TokenVerifier } from '@countersign/shared-auth';
import { auth } from 'express-oauth2-jwt-bearer';
import Koa from 'koa';
import koaJwt from 'koa-jwt';
import jwksRsa from 'jwks-rsa';
import { clientId, issuer, jwks, role } from './auth-tokens.ts';

/** Runs a Koa stack on a request with this token; resolves when the stack has. */
export type CallStack = (token: string) => Promise<void>;

const createRequest = (token: string): IncomingMessage => {
  const req = new IncomingMessage(new Socket());
  req.method = 'GET';
  req.url = '/';
  req.headers = { host: 'localhost', authorization: `Bearer ${token}` };
  req.rawHeaders = ['Host', 'localhost', 'Authorization', `Bearer ${token}`];
  return req;
};

const stackOf = (middleware: readonly Koa.Middleware[]): CallStack => {
  const app = new Koa();
  const run = (ctx: Koa.Context, index: number): Promise<void> =>
    Promise.resolve(
      index === middleware.length ? undefined : middleware[index]?.(ctx, () => run(ctx, index + 1)),
    );
  return async (token) => {
    const req = createRequest(token);
    await run(app.createContext(req, new ServerResponse(req)), 0);
  };
};

const respond: Koa.Middleware = (ctx) => {
  ctx.status = 204;
};

/** Nothing but Koa: what every stack pays. */
export const bareStack = (): CallStack => stackOf([respond]);

export const ourStack = (verifier: TokenVerifier): CallStack =>
  stackOf([authenticate(verifier, { policy: { appRole: role } }), respond]);

export interface KeyServer {
  url: string;
  close: () => void;
}

/** Serves the key set to peers that insist on fetching it themselves. */
export const startKeyServer = async (): Promise<KeyServer> => {
  const server = createServer((_, res) => {
    res.setHeader('content-type', 'application/json');
    res.end(JSON.stringify(jwks));
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/keys`,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
};

/** As the README of jwks-rsa has it. */
export const koaJwtStack = (jwksUri: string): CallStack =>
  stackOf([
    koaJwt({
      secret: jwksRsa.koaJwtSecret({ cache: true, cacheMaxEntries: 5, cacheMaxAge: 36e5, jwksUri }),
      audience: clientId,
      issuer,
      algorithms: ['RS256'],
    }),
    respond,
  ]);

/** The middleware of express-oauth2-jwt-bearer on a request as Express would hand it over. */
export const expressBearer = (jwksUri: string): CallStack => {
  const handler = auth({ issuer, jwksUri, audience: clientId, tokenSigningAlg: 'RS256' });
  return (token) =>
    new Promise((resolve, reject) => {
      const req = Object.assign(createRequest(token), {
        query: {},
        is: () => false,
        protocol: 'https',
        host: 'localhost',
        get: () => 'localhost',
        originalUrl: '/',
      });
      const next = (error?: unknown): void => (error === undefined ? resolve() : reject(error));
      void handler(req as never, new ServerResponse(req) as never, next);
    });
};
