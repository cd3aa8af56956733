import type { Middleware } from 'koa';
import { StsError } from '../sts-errors/sts-error.ts';
import type { EndpointVersion, TokenState } from './token-state.ts';

/** Scopes about a person, which some clients always add. */
const signInScopes: ReadonlySet<string> = new Set(['openid', 'offline_access', 'profile', 'email']);
const suffix = '/.default';

const resourceOfScope = (scope: string): string => {
  const scopes = scope.split(' ').filter((part) => part !== '' && !signInScopes.has(part));
  const [only, ...more] = scopes;
  if (only === undefined) throw new StsError('scopeWithoutDefault', { scope });
  if (more.length > 0) {
    const resources = new Set(scopes.map((part) => part.slice(0, Math.max(0, part.lastIndexOf('/')))));
    throw new StsError(resources.size > 1 ? 'severalResources' : 'malformedScope', { scope });
  }
  if (!only.endsWith(suffix) || only === suffix) throw new StsError('scopeWithoutDefault', { scope: only });
  return only.slice(0, -suffix.length);
};

/** The API that the token is for: one `scope` in version 2, `resource` in version 1. */
export const readResource = (version: EndpointVersion): Middleware<TokenState> =>
  function readResource(ctx, next) {
    const { parameters } = ctx.state;
    const name = version === 2 ? 'scope' : 'resource';
    if (version === 2 && parameters.has('resource')) throw new StsError('resourceParameterInV2');
    const value = parameters.get(name);
    if (value === undefined) throw new StsError('missingParameter', { parameter: name });
    ctx.state.requestedResource = version === 2 ? resourceOfScope(value) : value;
    return next();
  };
