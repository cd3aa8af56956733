/** What the compiler has to accept and refuse. `npm run types` checks this file; running it proves nothing. */
import { expect, test } from '@jest/globals';
import {
  createTokenSource,
  createTokenVerifier,
  namedPolicies,
  type ClientCredential,
  type EntraNetwork,
  type Policy,
  type Principal,
  type TokenSource,
  type TokenVerifier,
} from '../src/index.ts';

type Equal<A, B> = [A] extends [B] ? ([B] extends [A] ? true : false) : false;

declare const network: EntraNetwork;
declare const principal: Principal;

/** Never called. */
const compiled = (): unknown[] => {
  const verifier: TokenVerifier = createTokenVerifier({
    authorityHost: '',
    tenantId: '',
    clientId: '',
    network,
  });
  const source: TokenSource = createTokenSource({
    authorityHost: new URL(''),
    tenantId: '',
    clientId: '',
    credential: [{ clientSecretFile: '' }, { managedIdentity: {} }],
    network,
  });
  const same1: Equal<Awaited<ReturnType<typeof verifier.verify>>, Principal> = true;
  const same2: Equal<ReturnType<typeof verifier.recall>, Principal | undefined> = true;
  const same3: Equal<typeof principal.roles, readonly string[]> = true;

  // @ts-expect-error a principal is read only
  principal.applicationId = '';
  // @ts-expect-error its roles too
  principal.roles.push('admin');
  // @ts-expect-error a network is not optional
  createTokenVerifier({ authorityHost: '', tenantId: '', clientId: '' });
  // @ts-expect-error an audience is not optional
  createTokenVerifier({ authorityHost: '', tenantId: '', network });
  // @ts-expect-error there is no third token version
  createTokenVerifier({ authorityHost: '', tenantId: '', clientId: '', network, versions: ['3.0'] });
  // @ts-expect-error a request needs a scope
  void source.getToken({});
  // @ts-expect-error a policy says something
  const nothing: Policy = {};
  // @ts-expect-error … that exists
  const unknown: Policy = { role: 'admin' };
  // @ts-expect-error a secret alone is weaker than what it could demand
  const weak: Policy = { credential: 'secret' };
  // @ts-expect-error a credential is one of those known
  const credential: ClientCredential = { password: '' };
  const policies = namedPolicies({ AppRoleAccess: { appRole: 'role' } });
  // @ts-expect-error a name that is not there
  const missing = policies.Other;
  return [same1, same2, same3, nothing, unknown, weak, credential, policies.AppRoleAccess, missing];
};

test('the compiler has looked', () => {
  expect(compiled).toBeInstanceOf(Function);
});
