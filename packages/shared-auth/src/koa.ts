import { Readable } from 'node:stream';
import type { Context, Middleware, Next } from 'koa';
import koaJwt from 'koa-jwt';
import { bearerToken } from './bearer.ts';
import { assertPolicy, refusalOf, type Policy } from './policy.ts';
import type { Principal } from './principal.ts';
import { jwtEngine, type EngineVerifyOptions, type JwtEngine, type TokenVerifier } from './verifier.ts';

/** What {@link authenticate} leaves in `ctx.state`. */
export interface AuthState {
  principal: Principal;
}

export interface AuthenticateOptions {
  /** Who may pass. Without it, {@link requireAppRole} or another policy has to follow. */
  policy?: Policy;
  /** Headers for a key fetch that this request causes: `x-request-id`, `traceparent`. */
  headers?: (ctx: Context) => Readonly<Record<string, string>>;
  /** Told of each authenticated caller, before the route runs: the place to name it in the log. */
  onPrincipal?: (ctx: Context, principal: Principal) => void;
}

/** What is known of a request. Not in `ctx.state`, which any middleware may write, and policies must not believe. */
interface Authentication {
  readonly principal: Principal;
  isAuthorized: boolean;
}

const authentication = Symbol('authentication');

type Guarded = Context & { [authentication]?: Authentication };

/** Takes back an answer that no policy has let through. */
const withdrawAnswer = (ctx: Context): void => {
  const { body } = ctx as { body: unknown };
  if (body instanceof Readable) body.destroy();
  ctx.body = null;
};

/** Node joins or drops repeated Authorization headers; the raw list has them all. */
const authorizationHeaders = ({ rawHeaders }: Context['req']): string[] => {
  const values: string[] = [];
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] ?? '';
    if (name.length === 13 && name.toLowerCase() === 'authorization')
      values.push(rawHeaders[index + 1] ?? '');
  }
  return values;
};

const noop = async (): Promise<void> => {};

/**
 * koa-jwt as the engine of one request. It gets a context of its own, with the little that it uses of one, so that no
 * key or token stays behind in the request's; making that of the request its prototype would cost more than the rest.
 */
const koaJwtEngine =
  (ctx: Context): JwtEngine =>
  async (token, key, options) => {
    const state: { user?: unknown } = {};
    // koa-jwt hands the secret through to jsonwebtoken, which takes a KeyObject; its types do not know that.
    const verify = koaJwt({ ...options, secret: key as unknown as string, getToken: () => token });
    const own = { state, throw: (...args: Parameters<Context['throw']>) => ctx.throw(...args) };
    try {
      await verify(own as unknown as Context, noop);
    } catch (error) {
      throw (error as { originalError?: unknown }).originalError ?? error;
    }
    return state.user;
  };

/**
 * Authenticates the caller: afterwards `ctx.state.principal` is the application that sent the token.
 *
 * It authorizes nobody unless it is given a policy. Entra gives a token for any API to any application of the tenant, so
 * that one such as {@link requireAppRole} has to follow. An answer that no policy has let through is replaced by an error
 * (500) without its body, for every caller, so that a forgotten policy shows at the first request. What a route writes
 * around Koa (`ctx.respond = false`) cannot be taken back.
 *
 * @throws MissingTokenError, InvalidAuthorizationError, InvalidTokenError, IdentityUnavailableError
 * @throws InsufficientRoleError, CallerNotAllowedError where the policy refuses
 * @throws TypeError at once for a policy that is malformed or admits every application
 */
export const authenticate = (
  verifier: TokenVerifier,
  { policy, headers, onPrincipal }: AuthenticateOptions = {},
): Middleware<AuthState> => {
  if (policy !== undefined) assertPolicy(policy);

  const verifyAnew = (ctx: Context, token: string): Promise<Principal> => {
    const options: EngineVerifyOptions = {
      [jwtEngine]: koaJwtEngine(ctx),
      ...(headers && { headers: headers(ctx) }),
    };
    return verifier.verify(token, options);
  };

  const pass = (ctx: Guarded, next: Next, principal: Principal): Promise<void> => {
    const known: Authentication = { principal, isAuthorized: false };
    ctx[authentication] = known;
    ctx.state['principal'] = principal;
    onPrincipal?.(ctx, principal);
    if (policy === undefined) return Promise.resolve(next()).then(() => assertAuthorized(ctx, known));
    admit(policy, known, ctx.method);
    return next();
  };

  // Without a wait of its own for a token that is known; Koa makes a rejection of what is thrown at once.
  return function authenticate(ctx, next) {
    const token = bearerToken({ authorization: authorizationHeaders(ctx.req), query: ctx.querystring });
    const principal = verifier.recall(token);
    if (principal !== undefined) return pass(ctx, next, principal);
    return verifyAnew(ctx, token).then((verified) => pass(ctx, next, verified));
  };
};

/** @throws Error, with the answer taken back, where no policy has let the caller through */
const assertAuthorized = (ctx: Context, { isAuthorized }: Authentication): void => {
  const isUntouched = ctx.status === 404 && (ctx.body === undefined || ctx.body === null);
  if (isAuthorized || isUntouched) return;
  withdrawAnswer(ctx);
  throw new Error(
    `no policy was applied to ${ctx.method} ${ctx.path}: give authenticate a policy, or the route requireAppRole`,
  );
};

/** @throws InsufficientRoleError, CallerNotAllowedError for a caller that the policy refuses */
const admit = (policy: Policy, known: Authentication, method: string): void => {
  const refusal = refusalOf(policy, known.principal, method);
  if (refusal) throw refusal;
  known.isAuthorized = true;
};

const authenticationOf = (ctx: Guarded): Authentication => {
  const known = ctx[authentication];
  if (known === undefined) throw new Error('a policy needs authenticate before it');
  return known;
};

/**
 * Lets through the callers that a policy admits.
 *
 * @throws TypeError at once for a policy that is malformed or admits every application
 * @throws InsufficientRoleError, CallerNotAllowedError for other callers
 */
export const requirePolicy = (policy: Policy): Middleware<AuthState> => {
  assertPolicy(policy);
  return async function requirePolicy(ctx, next) {
    admit(policy, authenticationOf(ctx), ctx.method);
    await next();
  };
};

/** Lets through applications that were granted this app role. @throws InsufficientRoleError for others */
export const requireAppRole = (role: string): Middleware<AuthState> => requirePolicy({ appRole: role });

/** The policies of a service by their names, each as middleware. @throws TypeError for a malformed one */
export const namedPolicies = <Name extends string>(
  policies: Readonly<Record<Name, Policy>>,
): Readonly<Record<Name, Middleware<AuthState>>> =>
  Object.freeze(
    Object.fromEntries(
      Object.entries<Policy>(policies).map(([name, policy]) => [name, requirePolicy(policy)]),
    ) as Record<Name, Middleware<AuthState>>,
  );

/**
 * Lets through every authenticated application, with or without a role: for a door whose other side decides.
 * Named at length because it is the exception.
 */
export const allowWithoutAppRole: Middleware<AuthState> = async function allowWithoutAppRole(ctx, next) {
  authenticationOf(ctx).isAuthorized = true;
  await next();
};
