import { describe, expect, test } from '@jest/globals';
import { assertPolicy, namedPolicies, refusalOf, requirePolicy, type Policy } from '../src/index.ts';
import { toPrincipal } from '../src/principal.ts';
import { apiClientId, appClaims, callerClientId, tenantId } from './test-issuer.ts';

const caller = (claims: Record<string, unknown> = {}) =>
  toPrincipal(appClaims({ issuer: 'https://issuer.example' }, 0, { roles: ['read', 'list'], ...claims }));

const outcome = (policy: Policy, claims?: Record<string, unknown>, method = 'GET'): string => {
  assertPolicy(policy);
  return refusalOf(policy, caller(claims), method)?.code ?? 'allowed';
};

test.each<[string, Policy, string]>([
  ['a role it has', { appRole: 'read' }, 'allowed'],
  ['a role it lacks', { appRole: 'write' }, 'insufficient_role'],
  ['a prefix of a role', { appRole: 'rea' }, 'insufficient_role'],
  ['one of several', { anyAppRole: ['write', 'list'] }, 'allowed'],
  ['none of several', { anyAppRole: ['write', 'delete'] }, 'insufficient_role'],
  ['all of several', { allAppRoles: ['read', 'list'] }, 'allowed'],
  ['not all of several', { allAppRoles: ['read', 'write'] }, 'insufficient_role'],
  ['an access list', { applications: [callerClientId.toUpperCase()] }, 'allowed'],
  ['an access list of others', { applications: [apiClientId] }, 'caller_not_allowed'],
  ['a role in the tenant', { allOf: [{ appRole: 'read' }, { tenants: [tenantId] }] }, 'allowed'],
  ['a role in another', { allOf: [{ appRole: 'read' }, { tenants: [apiClientId] }] }, 'caller_not_allowed'],
  ['a secret', { allOf: [{ appRole: 'read' }, { credential: 'certificate' }] }, 'caller_not_allowed'],
  ['the second way', { anyOf: [{ appRole: 'write' }, { applications: [callerClientId] }] }, 'allowed'],
  ['no way', { anyOf: [{ appRole: 'write' }, { applications: [apiClientId] }] }, 'insufficient_role'],
])('%s', (_, policy, expected) => {
  expect(outcome(policy)).toBe(expected);
});

test('by method; HEAD is as GET, and what is not named is refused', () => {
  const policy: Policy = { byMethod: { GET: { appRole: 'read' }, POST: { appRole: 'write' } } };
  expect(
    ['GET', 'HEAD', 'POST', 'DELETE', 'constructor'].map((method) => outcome(policy, {}, method)),
  ).toEqual(['allowed', 'allowed', 'insufficient_role', 'caller_not_allowed', 'caller_not_allowed']);
});

test('the roles that would do are named', () => {
  const refusal = refusalOf({ anyAppRole: ['a', 'b'] }, caller(), 'GET');
  expect(refusal?.members).toEqual({ requiredRoles: ['a', 'b'] });
  expect(refusal?.headers).toEqual({ 'WWW-Authenticate': 'Bearer error="insufficient_scope", scope="a b"' });
});

describe('a policy is refused where it is written', () => {
  test.each<[string, unknown]>([
    ['nothing', undefined],
    ['empty', {}],
    ['unknown', { approle: 'read' }],
    ['two in one', { appRole: 'read', applications: [callerClientId] }],
    ['no roles', { anyAppRole: [] }],
    ['an empty role', { appRole: '' }],
    ['a role that breaks the header', { appRole: 'a", x="b' }],
    ['not a list', { allAppRoles: 'read' }],
    ['not a GUID', { applications: ['records-api'] }],
    ['no branches', { anyOf: [] }],
    ['a bad branch', { allOf: [{ appRole: 'read' }, {}] }],
    ['an inherited name', { constructor: [] }],
    ['another credential', { credential: 'secret' }],
    ['only a tenant', { tenants: [tenantId] }],
    ['only a credential', { credential: 'certificate' }],
    ['a way past the roles', { anyOf: [{ appRole: 'read' }, { tenants: [tenantId] }] }],
    ['a method past the roles', { byMethod: { GET: { credential: 'certificate' } } }],
    ['a method in small letters', { byMethod: { get: { appRole: 'read' } } }],
  ])('%s', (_, policy) => {
    expect(() => requirePolicy(policy as Policy)).toThrow(TypeError);
  });
});

test('named policies are middleware by name', () => {
  const { AppRoleAccess } = namedPolicies({ AppRoleAccess: { appRole: 'access_as_application_API1' } });
  expect(AppRoleAccess.name).toBe('requirePolicy');
  expect(() => namedPolicies({ Broken: { anyOf: [] } })).toThrow(TypeError);
});

test.each(['a b', 'a"b', 'a\\b', 'a\u0000b', 'r\u00f4le', 'r\u20ac', ''])(
  'the role %j fits into no challenge',
  (appRole) => {
    expect(() => assertPolicy({ appRole })).toThrow(TypeError);
  },
);
