import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import Koa, { type Context, type Middleware } from 'koa';
import {
  allowWithoutAppRole,
  authenticate,
  createTokenVerifier,
  namedPolicies,
  requireAppRole,
  type EntraNetwork,
  type TokenVerifier,
} from '../src/index.ts';
import { apiClientId, callerClientId, createStaticIssuer, mint, role, tenantId } from './test-issuer.ts';

const now = Date.now();
const issuer = createStaticIssuer();
const token = mint(issuer, now);

let server: Server | undefined;
let keyRequests: (Readonly<Record<string, string>> | undefined)[];
let verifier: TokenVerifier;

beforeEach(() => {
  keyRequests = [];
  const network: EntraNetwork = {
    request: (url, request) => {
      keyRequests.push(request?.headers);
      return issuer.network.request(url, request);
    },
    close: () => {},
  };
  verifier = createTokenVerifier({
    authorityHost: issuer.origin,
    tenantId,
    clientId: apiClientId,
    network,
    clock: () => now,
  });
});

afterEach(() => {
  server?.close();
  server?.closeAllConnections();
});

/** Status and body that a stack answers with; what it throws becomes the status of Koa's error contract. */
const call = async (stack: readonly Middleware[], init: RequestInit = {}): Promise<[number, string]> => {
  server?.close();
  const app = new Koa();
  app.silent = true;
  for (const middleware of stack) app.use(middleware);
  server = createServer(app.callback());
  await new Promise<void>((resolve) => {
    server?.listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  const headers = { authorization: `Bearer ${token}`, connection: 'close' };
  const response = await fetch(`http://127.0.0.1:${port}/`, { headers, ...init });
  return [response.status, await response.text()];
};

const answer: Middleware = (ctx) => {
  ctx.body = 'done';
};

test('authenticated and with the role', async () => {
  expect(await call([authenticate(verifier), requireAppRole(role), answer])).toEqual([200, 'done']);
});

test('with a policy of its own it lets through whom that admits, by method, and needs none after it', async () => {
  const policy = { byMethod: { GET: { appRole: role }, POST: { appRole: 'another' } } };
  const told: string[] = [];
  const guard = authenticate(verifier, { policy, onPrincipal: (_, { roles }) => told.push(...roles) });
  expect(await call([guard, answer])).toEqual([200, 'done']);
  const refused = await call([guard, answer], { method: 'POST' });
  expect(refused[0]).toBe(403);
  expect(told).toEqual([role, role]);
  expect(() => authenticate(verifier, { policy: { tenants: ['x'] } })).toThrow(TypeError);
});

test('the options see the request', async () => {
  const seen: string[] = [];
  const stack = authenticate(verifier, {
    headers: (ctx: Context) => ({ 'x-request-id': `id of ${ctx.method}` }),
    onPrincipal: (ctx, { applicationId }) => seen.push(`${ctx.path} ${applicationId}`),
  });
  await call([stack, requireAppRole(role), answer]);
  expect(seen).toEqual([`/ ${callerClientId}`]);
  expect(keyRequests).toEqual([expect.objectContaining({ 'x-request-id': 'id of GET' })]);
});

test('the state of the request gets the principal and nothing else', async () => {
  let state: Record<string, unknown> = {};
  const look: Middleware = (ctx) => {
    ({ state } = ctx);
    ctx.body = 'done';
  };
  await call([authenticate(verifier), requireAppRole(role), look]);
  expect(Object.keys(state)).toEqual(['principal']);
});

test('a state that another middleware wrote does not choose the key', async () => {
  const tamper: Middleware = (ctx, next) => {
    ctx.state['secret'] = 'secret of an attacker';
    return next();
  };
  expect(await call([tamper, authenticate(verifier), requireAppRole(role), answer])).toEqual([200, 'done']);
});

test.each<[string, Middleware, number]>([
  ['an answer', answer, 500],
  [
    'an answer without a body',
    (ctx) => {
      ctx.status = 204;
    },
    500,
  ],
  ['nothing', () => {}, 404],
  [
    'a refusal',
    (ctx) => {
      ctx.status = 405;
    },
    500,
  ],
  [
    'a refusal with a body',
    (ctx) => {
      ctx.status = 404;
      ctx.body = 'secret';
    },
    500,
  ],
  ['an error', (ctx) => ctx.throw(422), 422],
])('without a policy: %s', async (_, route, status) => {
  expect((await call([authenticate(verifier), route]))[0]).toBe(status);
});

test('a policy without authentication is a mistake that opens nothing', async () => {
  expect((await call([requireAppRole(role), answer]))[0]).toBe(500);
  server?.close();
  expect((await call([allowWithoutAppRole, answer]))[0]).toBe(500);
});

test('a door whose other side decides says so by name', async () => {
  const roleless = mint(issuer, now, { roles: undefined });
  const init = { headers: { authorization: `Bearer ${roleless}`, connection: 'close' } };
  expect(await call([authenticate(verifier), allowWithoutAppRole, answer], init)).toEqual([200, 'done']);
});

test('policies by name and method', async () => {
  const { Records } = namedPolicies({
    Records: { byMethod: { GET: { appRole: role }, POST: { appRole: 'write' } } },
  });
  const stack = [authenticate(verifier), Records, answer];
  expect((await call(stack))[0]).toBe(200);
  server?.close();
  const headers = { authorization: `Bearer ${token}`, connection: 'close' };
  expect((await call(stack, { method: 'POST', headers }))[0]).toBe(403);
});

test('what is withdrawn leaves no body behind, for whoever renders the error', async () => {
  const render: Middleware = async (ctx, next) => {
    try {
      await next();
    } catch {
      ctx.status = 500;
      ctx.body = `left: ${String(ctx['before'])}`;
    }
  };
  const keep: Middleware = async (ctx, next) => {
    try {
      await next();
    } catch (error) {
      ctx['before'] = ctx.body;
      throw error;
    }
  };
  expect(await call([render, keep, authenticate(verifier), answer])).toEqual([500, 'left: null']);
});

test('a policy does not believe what others wrote into the state', async () => {
  const roleless = mint(issuer, now, { roles: undefined });
  const init = { headers: { authorization: `Bearer ${roleless}`, connection: 'close' } };
  const forge: Middleware = (ctx, next) => {
    ctx.state['principal'] = { ...(ctx.state['principal'] as object), roles: [role] };
    return next();
  };
  expect((await call([authenticate(verifier), forge, requireAppRole(role), answer], init))[0]).toBe(403);
  server?.close();
  const invent: Middleware = (ctx, next) => {
    ctx.state['principal'] = { roles: [role] };
    return next();
  };
  expect((await call([invent, requireAppRole(role), answer], init))[0]).toBe(500);
});
