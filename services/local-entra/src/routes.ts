import { Router, type RouterMiddleware } from '@koa/router';
import type { ServiceState } from '@countersign/service-kit';
import type { Middleware } from 'koa';
import { cacheable } from './discovery/cacheable.ts';
import { instanceDiscovery } from './discovery/instance-discovery.ts';
import { keys } from './discovery/keys.ts';
import { openidConfiguration } from './discovery/openid-configuration.ts';
import type { EntraContext } from './entra-context.ts';
import { statusPage } from './status-page/status-page.ts';
import { renderStsErrors } from './sts-errors/render-sts-errors.ts';
import { graph } from './graph/graph-endpoint.ts';
import { refuseMethod, tokenEndpoint } from './token/token-endpoint.ts';
import type { TokenState } from './token/token-state.ts';
import type { Controls } from './weather/controls.ts';

/** The router knows the state that a request begins with; the steps of an endpoint add to it. */
const steps = (endpoint: readonly Middleware<TokenState>[]): RouterMiddleware<ServiceState>[] =>
  endpoint as unknown as RouterMiddleware<ServiceState>[];

/** The page for people. */
export const pageRoutes = (entra: EntraContext, controls: Controls): Router<ServiceState> => {
  const router = new Router<ServiceState>();
  router.get('/', statusPage(entra, controls));
  return router;
};

/** The addresses of Microsoft Graph. */
export const graphRoutes = (entra: EntraContext): Router<ServiceState> => {
  const router = new Router<ServiceState>();
  router.all(['/v1.0', '/v1.0/{*path}', '/beta', '/beta/{*path}'], ...graph(entra));
  return router;
};

/** The addresses of Entra's security token service. */
export const stsRoutes = (entra: EntraContext): Router<ServiceState> => {
  const router = new Router<ServiceState>();
  router.use(renderStsErrors(entra.clock));
  router.get('/common/discovery/instance', cacheable, instanceDiscovery(entra));
  router.get('/:tenant/v2.0/.well-known/openid-configuration', cacheable, openidConfiguration(entra, 2));
  router.get('/:tenant/.well-known/openid-configuration', cacheable, openidConfiguration(entra, 1));
  router.get('/:tenant/discovery/v2.0/keys', cacheable, keys(entra));
  router.get('/:tenant/discovery/keys', cacheable, keys(entra));
  router.post('/:tenant/oauth2/v2.0/token', ...steps(tokenEndpoint(entra, 2)));
  router.post('/:tenant/oauth2/token', ...steps(tokenEndpoint(entra, 1)));
  router.all(['/:tenant/oauth2/v2.0/token', '/:tenant/oauth2/token'], refuseMethod);
  return router;
};
