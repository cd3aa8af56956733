import { timingSafeEqual, createHash } from 'node:crypto';
import { Router, type RouterMiddleware } from '@koa/router';
import type { Middleware } from 'koa';
import type { ServiceState } from '@countersign/service-kit';
import type { Application } from '../directory/entities.ts';
import type { EntraContext } from '../entra-context.ts';
import { issueAccessToken } from '../token/access-token.ts';
import { resolveResource } from '../token/resolve-resource.ts';
import { resolveRoles } from '../token/resolve-roles.ts';
import type { TokenState } from '../token/token-state.ts';
import { ManagedIdentityError, renderManagedIdentityErrors } from './managed-identity-error.ts';
import { resolveIdentity } from './resolve-identity.ts';

/** A day: Azure keeps these tokens as long, so that a new role takes that long to show. */
const lifetimeSeconds = 86_400;

const param = (value: string | string[] | undefined): string => (typeof value === 'string' ? value : '');

/** Only a program on the machine sends this header: a page or a redirect cannot. */
const requireMetadataHeader: Middleware = function requireMetadataHeader(ctx, next) {
  if (ctx.get('Metadata').toLowerCase() === 'true') return next();
  throw new ManagedIdentityError('invalid_request', 'Required metadata header not specified');
};

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();

const requireIdentityHeader = (secret: string): Middleware =>
  function requireIdentityHeader(ctx, next) {
    if (timingSafeEqual(digest(ctx.get('X-IDENTITY-HEADER')), digest(secret))) return next();
    throw new ManagedIdentityError('invalid_request', 'The identity header is missing or wrong', 401);
  };

const requireApiVersion = (...versions: readonly string[]): Middleware =>
  function requireApiVersion(ctx, next) {
    const version = param(ctx.query['api-version']);
    if (versions.includes(version)) return next();
    throw new ManagedIdentityError(
      'bad_request',
      `Invalid or missing api-version. Supported: ${versions.join(', ')}`,
    );
  };

const readResource: Middleware<TokenState> = function readResource(ctx, next) {
  const resource = param(ctx.query['resource']);
  if (resource === '') {
    throw new ManagedIdentityError('invalid_request', 'Required query parameter resource missing');
  }
  ctx.state.requestedResource = resource;
  return next();
};

/** Azure takes the first of some and refuses others: here nobody has to know which. */
const refuseRepeated: Middleware = function refuseRepeated(ctx, next) {
  const repeated = Object.entries(ctx.query).find(([, value]) => Array.isArray(value));
  if (!repeated) return next();
  throw new ManagedIdentityError('invalid_request', `The parameter ${repeated[0]} is there twice`);
};

const issue = (entra: EntraContext, state: TokenState) => {
  const resourceApplication: Application = state.resourceApplication;
  return issueAccessToken(
    {
      tenantId: state.tenant.id,
      client: state.client,
      clientAuthentication: '2',
      resourceApplication,
      requestedResource: state.requestedResource,
      roles: state.roles.map(({ value }) => value),
      nowSeconds: Math.floor(entra.clock() / 1000),
      lifetimeSeconds: resourceApplication.tokenLifetimeSeconds ?? lifetimeSeconds,
    },
    entra.signingKeys.current(),
    entra.origin(),
  );
};

/** Every value is a string. */
const answerAsImds = (entra: EntraContext): Middleware<TokenState> =>
  function answerAsImds(ctx) {
    const issued = issue(entra, ctx.state);
    ctx.state.logFields['uti'] = issued.uti;
    ctx.body = {
      access_token: issued.token,
      client_id: ctx.state.client.appId,
      expires_in: String(issued.expiresOn - Math.floor(entra.clock() / 1000) - 1),
      expires_on: String(issued.expiresOn),
      ext_expires_in: String(issued.expiresOn - Math.floor(entra.clock() / 1000) - 1),
      not_before: String(issued.notBefore),
      refresh_token: '',
      resource: ctx.state.requestedResource,
      token_type: 'Bearer',
    };
  };

const answerAsAppService = (entra: EntraContext): Middleware<TokenState> =>
  function answerAsAppService(ctx) {
    const issued = issue(entra, ctx.state);
    ctx.state.logFields['uti'] = issued.uti;
    ctx.body = {
      access_token: issued.token,
      expires_on: String(issued.expiresOn),
      resource: ctx.state.requestedResource,
      token_type: 'Bearer',
      client_id: ctx.state.client.appId,
    };
  };

const imds = (entra: EntraContext): Middleware<TokenState>[] => [
  renderManagedIdentityErrors('imds'),
  requireMetadataHeader,
  refuseRepeated,
  requireApiVersion('2018-02-01', '2019-08-01', '2020-06-01', '2021-02-01'),
  readResource,
  resolveIdentity(entra.directory, {
    clientId: 'client_id',
    objectId: 'object_id',
    resourceId: 'msi_res_id',
  }),
  resolveResource(entra),
  resolveRoles(entra.directory, entra.clock),
  answerAsImds(entra),
];

const appService = (entra: EntraContext, identityHeader: string): Middleware<TokenState>[] => [
  renderManagedIdentityErrors('app-service'),
  requireIdentityHeader(identityHeader),
  refuseRepeated,
  requireApiVersion('2019-08-01'),
  readResource,
  resolveIdentity(entra.directory, {
    clientId: 'client_id',
    objectId: 'principal_id',
    resourceId: 'mi_res_id',
  }),
  resolveResource(entra),
  resolveRoles(entra.directory, entra.clock),
  answerAsAppService(entra),
];

/** Each step fills what the next ones rely on; the router only knows the state that a request begins with. */
const steps = (endpoint: readonly Middleware<TokenState>[]): RouterMiddleware<ServiceState>[] =>
  endpoint as unknown as RouterMiddleware<ServiceState>[];

/**
 * Where a workload on Azure gets the token of its managed identity: the instance metadata service (IMDS) and the
 * endpoint of App Service, Functions and Container Apps.
 */
export const managedIdentityRoutes = (entra: EntraContext, identityHeader: string): Router<ServiceState> => {
  const router = new Router<ServiceState>();
  router.get('/metadata/identity/oauth2/token', ...steps(imds(entra)));
  router.get('/msi/token', ...steps(appService(entra, identityHeader)));
  return router;
};
