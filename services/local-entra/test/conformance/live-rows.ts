import type { StsErrorCause } from '../../src/sts-errors/error-table.ts';
import { ask, askWithAssertion, type Target, type TargetAnswer } from './target.ts';

/** How to provoke a row of the table of errors. */
export type Provocation = (target: Target) => Promise<TargetAnswer>;

const nowhere = 'deadbeef-0000-4000-8000-00000000dead';

/** Rows that any tenant shows, with one application, its secret and one API: no set-up, no change, no state. */
export const liveRows = {
  missingCredential: (target) => ask(target, { client_secret: '' }),
  wrongSecret: (target) => ask(target, { client_secret: 'wrong' }),
  unsupportedAssertionType: (target) =>
    askWithAssertion(target, 'e30.e30.AA', { client_assertion_type: 'urn:example:other' }),
  malformedAssertion: (target) => askWithAssertion(target, 'malformed'),
  unknownApplication: (target) => ask(target, { client_id: nowhere }),
  invalidApplicationIdentifier: (target) =>
    ask(target, { client_id: '00000000-0000-0000-0000-000000000000' }),
  unknownTenant: (target) => ask(target, {}, { tenant: nowhere }),
  unknownTenantInDiscovery: (target) => target.send(`/${nowhere}/v2.0/.well-known/openid-configuration`),
  malformedTenant: (target) => ask(target, {}, { tenant: 'not-a-tenant' }),
  tenantAlias: (target) => ask(target, {}, { tenant: 'common' }),
  missingParameter: (target) => ask(target, { scope: '' }),
  duplicateParameter: (target) => ask(target, {}, { extra: '&scope=again' }),
  wrongMethod: (target) => target.send(`/${target.tenant}/oauth2/v2.0/token`),
  unsupportedGrantType: (target) => ask(target, { grant_type: 'urn:example:grant' }),
  resourceParameterInV2: (target) => ask(target, { resource: target.api }),
  scopeWithoutDefault: (target) => ask(target, { scope: `${target.api}/read` }),
  malformedScope: (target) => ask(target, { scope: `${target.api}/.default ${target.api}/read` }),
  severalResources: (target) =>
    ask(target, { scope: `${target.api}/.default https://graph.microsoft.com/.default` }),
  unknownResource: (target) => ask(target, { scope: 'api://nothing-here/.default' }),
  unknownAuthority: (target) =>
    target.send(
      '/common/discovery/instance?api-version=1.1&authorization_endpoint=https://login.example/common/oauth2/v2.0/authorize',
    ),
  unsupportedApiVersion: (target) =>
    target.send(
      '/common/discovery/instance?api-version=9.9&authorization_endpoint=https://login.example/common/oauth2/v2.0/authorize',
    ),
} as const satisfies Partial<Record<StsErrorCause, Provocation>>;
