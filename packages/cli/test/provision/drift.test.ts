import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { applyAll, type Shown, startTestTenant, type TestTenant, wantedState } from './test-tenant.ts';

let tenant: TestTenant;
beforeEach(async () => {
  tenant = await startTestTenant();
});
afterEach(() => tenant[Symbol.asyncDispose]());

describe('drift is planned and mended', () => {
  const principalOf = async (uniqueName: string): Promise<string> => {
    const { appId } = await tenant.found(uniqueName);
    const principal = await tenant.graph('GET', `servicePrincipals(appId='${appId}')`);
    return (principal as { id: string }).id;
  };
  const change = async (uniqueName: string, body: unknown): Promise<unknown> =>
    tenant.graph('PATCH', `applications/${(await tenant.found(uniqueName)).id}`, body);

  test.each<[string, string, () => Promise<unknown>]>([
    [
      'a role removed',
      '+ app role write_as_application_API1',
      async () => {
        const roles = (await tenant.found('records-api'))['appRoles'] as {
          value: string;
          isEnabled: boolean;
        }[];
        const disabled = roles.map((role) => ({ ...role, isEnabled: role.value.startsWith('access') }));
        await change('records-api', { appRoles: disabled });
        await change('records-api', { appRoles: disabled.filter(({ isEnabled }) => isEnabled) });
      },
    ],
    [
      'a role disabled',
      'app role access_as_application_API1, isEnabled: false → true',
      async () => {
        const roles = (await tenant.found('records-api'))['appRoles'] as object[];
        await change('records-api', { appRoles: roles.map((role) => ({ ...role, isEnabled: false })) });
      },
    ],
    ['the URI changed', '+ api://', () => change('records-api', { identifierUris: ['api://elsewhere'] })],
    [
      'version 1 tokens',
      'api.requestedAccessTokenVersion: null → 2',
      () => change('records-api', { api: { requestedAccessTokenVersion: null } }),
    ],
    [
      'another name',
      'displayName: "Portal" → "records-api"',
      () => change('records-api', { displayName: 'Portal' }),
    ],
    ['no idtyp', '+ optional claim idtyp', () => change('records-api', { optionalClaims: null })],
    [
      'asked permissions gone',
      'permissions that caller-api asks for',
      () => change('caller-api', { requiredResourceAccess: [] }),
    ],
    [
      'a grant revoked',
      'admin consent for caller-api',
      async () => {
        const id = await principalOf('records-api');
        const { value } = (await tenant.graph('GET', `servicePrincipals/${id}/appRoleAssignedTo`)) as Shown;
        await tenant.graph('DELETE', `servicePrincipals/${id}/appRoleAssignedTo/${value[0]?.id}`);
      },
    ],
    [
      'assignment no longer required',
      'appRoleAssignmentRequired: false → true',
      async () =>
        tenant.graph('PATCH', `servicePrincipals/${await principalOf('records-api')}`, {
          appRoleAssignmentRequired: false,
        }),
    ],
    [
      'the caller disabled',
      'accountEnabled: false → true',
      async () =>
        tenant.graph('PATCH', `servicePrincipals/${await principalOf('caller-api')}`, {
          accountEnabled: false,
        }),
    ],
    [
      'a federated subject edited',
      'subject: "system:serviceaccount:shop:other"',
      async () => {
        const { id } = await tenant.found('caller-api');
        const { value } = (await tenant.graph(
          'GET',
          `applications/${id}/federatedIdentityCredentials`,
        )) as Shown;
        await tenant.graph('PATCH', `applications/${id}/federatedIdentityCredentials/${value[0]?.id}`, {
          subject: 'system:serviceaccount:shop:other',
        });
      },
    ],
    ['the file with the secret lost', 'none is kept', () => rm(tenant.secretFile)],
    [
      'the file with the secret overwritten',
      'none is kept',
      () => writeFile(tenant.secretFile, '!?# something else'),
    ],
    [
      'the secret removed',
      'none is kept',
      async () => {
        const { id, passwordCredentials } = await tenant.found('caller-api');
        const [{ keyId }] = passwordCredentials as [{ keyId: string }];
        await tenant.graph('POST', `applications/${id}/removePassword`, { keyId });
      },
    ],
    [
      'an output edited',
      'API_CLIENT_ID: x → ',
      () => writeFile(join(tenant.folder, '.env'), 'API_CLIENT_ID=x\n'),
    ],
  ])('%s', async (_, line, edit) => {
    await tenant.provision('apply');
    await edit();
    const plan = await tenant.provision('plan');
    expect(plan.stdout).toContain(line);
    expect(plan.code).toBe(2);
    expect((await tenant.provision('verify')).code).toBe(2);
    expect((await tenant.provision('apply', ['--yes'])).code).toBe(0);
    expect((await tenant.provision('plan')).code).toBe(0);
    const state = (await tenant.stateOf()) as { uris: string[] };
    expect({ ...state, uris: state.uris.filter((uri) => uri !== 'api://elsewhere') }).toEqual(wantedState);
  });

  test('a secret that ends soon is replaced', async () => {
    const short = tenant.yaml.replace('secret: { ', 'secret: { lifetimeDays: 20, renewBeforeDays: 5, ');
    await tenant.provision('apply', [], short);
    const plan = await tenant.provision(
      'plan',
      [],
      short.replace('renewBeforeDays: 5', 'renewBeforeDays: 21'),
    );
    expect(plan.stdout).toContain('19 days left');
    expect(plan.code).toBe(2);
  });

  test('a secret that has expired is replaced, and the old one removed', async () => {
    await tenant.provision('apply');
    const before = await readFile(tenant.secretFile, 'utf8');
    const provisioner = await tenant.open(tenant.agent, async () => {}, 200 * 86_400_000);
    const { changes } = await provisioner.plan();
    expect(changes.map(({ action, lines }) => `${action} ${lines[0]?.text}`)).toEqual([
      'update valid for 180 days (has expired)',
      expect.stringMatching(/^delete /),
    ]);
    await applyAll(provisioner);
    expect((await provisioner.plan()).changes).toEqual([]);
    expect(await readFile(tenant.secretFile, 'utf8')).not.toBe(before);
    expect(await tenant.stateOf()).toEqual(wantedState);
  });

  test('what the file does not name is noted and left alone', async () => {
    await tenant.provision('apply');
    const { id } = await tenant.found('caller-api');
    await tenant.graph('POST', `applications/${id}/addPassword`, {
      passwordCredential: { displayName: 'portal' },
    });
    const { stdout, code } = await tenant.provision('plan');
    expect(stdout).toContain('secret "portal"');
    expect(code).toBe(0);
  });

  test('of an adopted application, only what the file says is changed', async () => {
    const portal = (await tenant.graph('POST', 'applications', {
      displayName: 'Portal',
      signInAudience: 'AzureADMultipleOrgs',
      appRoles: [
        {
          id: '5ad5e77b-4e2e-4a5f-9a3e-5f0a6e1c2b33',
          value: 'access_as_application_API1',
          displayName: 'Theirs',
          description: 'Theirs',
          isEnabled: true,
          allowedMemberTypes: ['Application'],
        },
      ],
    })) as { id: string; appId: string };
    await tenant.graph('POST', 'servicePrincipals', { appId: portal.appId, appRoleAssignmentRequired: true });
    const adopting = `applications:
  api1: { appId: ${portal.appId}, identifierUris: [], appRoles: [{ value: access_as_application_API1 }] }
  caller: { grants: [{ api: api1, roles: [access_as_application_API1] }] }
`;
    expect((await tenant.provision('apply', [], adopting)).code).toBe(0);
    expect(await tenant.graph('GET', `applications/${portal.id}`)).toMatchObject({
      displayName: 'Portal',
      signInAudience: 'AzureADMultipleOrgs',
      appRoles: [{ displayName: 'Theirs', description: 'Theirs' }],
      api: { requestedAccessTokenVersion: 2 },
    });
    expect(await tenant.graph('GET', `servicePrincipals(appId='${portal.appId}')`)).toMatchObject({
      appRoleAssignmentRequired: true,
    });
    expect((await tenant.provision('plan', [], adopting)).code).toBe(0);
  });

  test('an application of the portal is adopted by its appId, and never doubled by its name', async () => {
    const { appId } = (await tenant.graph('POST', 'applications', { displayName: 'caller-api' })) as {
      appId: string;
    };
    const refused = await tenant.provision('apply');
    expect(refused.stderr).toContain(`write under api2: "appId: ${appId}"`);
    expect(refused.code).toBe(1);
    const adopting = tenant.yaml.replace(
      'uniqueName: caller-api',
      `displayName: caller-api\n    appId: ${appId}`,
    );
    expect((await tenant.provision('apply', [], adopting)).code).toBe(0);
    expect((await tenant.provision('apply', [], adopting)).stdout).toContain('Nothing to change');
    expect((await tenant.provision('destroy', ['--yes'], adopting)).stderr).toContain(
      'Adopted applications are not deleted',
    );
  });
});
