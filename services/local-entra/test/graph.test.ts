import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { startLocalEntra, type LocalEntra } from '@countersign/local-entra';
import { makeCertificate } from './assertion.ts';
import { postForm, send, type Answer } from './https-client.ts';

const tenant = 'dddd0000-0000-4000-8000-000000000001';
const role = (n: number): string => `dddd0000-0000-4000-8000-00000000010${n}`;

let entra: LocalEntra;
let tokens: Record<string, string>;

const seedApplication = (name: string, roles: string[]) => ({
  name,
  generatedSecret: true,
  grantedRoles: roles.map((role) => ({ resource: 'microsoft-graph', role })),
});

const tokenOf = async (clientId: string, secret: string, scope: string): Promise<Answer> =>
  postForm(entra, `/${tenant}/oauth2/v2.0/token`, {
    grant_type: 'client_credentials',
    client_id: clientId,
    client_secret: secret,
    scope,
  });

beforeAll(async () => {
  const seed = {
    tenants: [
      {
        id: tenant,
        displayName: 'Graph',
        domains: ['graph.test'],
        applications: [
          {
            ...seedApplication('admin', ['Application.ReadWrite.All', 'AppRoleAssignment.ReadWrite.All']),
            appId: role(1),
          },
          { ...seedApplication('owner', ['Application.ReadWrite.OwnedBy']), appId: role(2) },
          { ...seedApplication('reader', ['Application.Read.All']), appId: role(3) },
          { ...seedApplication('nobody', []), appId: role(4) },
          {
            ...seedApplication('granter', [
              'Application.ReadWrite.OwnedBy',
              'AppRoleAssignment.ReadWrite.All',
            ]),
            appId: role(5),
          },
        ],
      },
    ],
  };
  entra = await startLocalEntra({ seed });
  tokens = {};
  for (const [index, name] of ['admin', 'owner', 'reader', 'nobody', 'granter'].entries()) {
    const scope = index % 2 === 0 ? 'https://graph.microsoft.com/.default' : `${entra.origin}/.default`;
    const { body } = await tokenOf(role(index + 1), entra.secrets[name] ?? '', scope);
    tokens[name] = String(body['access_token']);
  }
});
afterAll(() => entra.close());

const call = (method: string, path: string, body?: unknown, options: { as?: string; prefer?: string } = {}) =>
  send(
    entra,
    `/v1.0/${path}`,
    {
      method,
      headers: {
        authorization: `Bearer ${tokens[options.as ?? 'admin']}`,
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...(options.prefer !== undefined && { prefer: options.prefer }),
      },
    },
    body === undefined ? undefined : JSON.stringify(body),
  );
const errorOf = ({ body }: Answer) => body['error'] as { code: string; message: string; details?: unknown };
const createIfMissing = { prefer: 'create-if-missing' };

describe('the story: two applications, a role, a grant, a secret, a token', () => {
  test('is set up through Graph alone', async () => {
    const { decodeJwt } = await import('jose');
    const appRoles = [
      {
        id: role(9),
        value: 'read',
        displayName: 'Read',
        description: 'Read',
        allowedMemberTypes: ['Application'],
      },
    ];
    const made = await call(
      'PATCH',
      "applications(uniqueName='story-api')",
      {
        displayName: 'Story API',
        signInAudience: 'AzureADMyOrg',
        api: { requestedAccessTokenVersion: 2 },
        appRoles,
        optionalClaims: { accessToken: [{ name: 'idtyp' }] },
      },
      createIfMissing,
    );
    expect(made.status).toBe(201);
    const again = await call(
      'PATCH',
      "applications(uniqueName='story-api')",
      { displayName: 'Story' },
      createIfMissing,
    );
    expect(again).toMatchObject({ status: 204, body: { text: '' } });

    const { id, appId } = (await call('GET', "applications(uniqueName='story-api')?$select=id,appId")).body;
    const uri = `api://${String(appId)}`;
    expect((await call('PATCH', `applications/${String(id)}`, { identifierUris: [uri] })).status).toBe(204);
    const api = await call(
      'PATCH',
      `servicePrincipals(appId='${String(appId)}')`,
      { appRoleAssignmentRequired: true },
      createIfMissing,
    );
    expect(api).toMatchObject({ status: 201, body: { servicePrincipalNames: [uri, appId] } });

    const client = await call('POST', 'applications', { displayName: 'Story client' });
    const clientPrincipal = await call('POST', 'servicePrincipals', { appId: client.body['appId'] });
    const password = await call('POST', `applications/${String(client.body['id'])}/addPassword`, {
      passwordCredential: { displayName: 'first' },
    });
    expect(password).toMatchObject({
      status: 200,
      body: { displayName: 'first', secretText: expect.stringMatching(/^\S{40}$/), hint: expect.any(String) },
    });
    const ask = () =>
      tokenOf(String(client.body['appId']), String(password.body['secretText']), `${uri}/.default`);
    expect((await ask()).body['error_codes']).toEqual([501051]);

    const grant = {
      principalId: clientPrincipal.body['id'],
      resourceId: api.body['id'],
      appRoleId: role(9),
    };
    const path = `servicePrincipals/${String(api.body['id'])}/appRoleAssignedTo`;
    const granted = await call('POST', path, grant);
    expect(granted).toMatchObject({ status: 201, body: { principalDisplayName: 'Story client', ...grant } });
    expect(errorOf(await call('POST', path, grant)).message).toBe(
      'Permission being assigned already exists on the object',
    );
    const { body: assignments } = await call(
      'GET',
      `servicePrincipals/${String(grant.principalId)}/appRoleAssignments`,
    );
    expect(assignments['value']).toHaveLength(1);

    const token = await ask();
    expect(decodeJwt(String(token.body['access_token']))).toMatchObject({
      aud: appId,
      azp: client.body['appId'],
      idtyp: 'app',
      roles: ['read'],
    });

    expect((await call('DELETE', `${path}/${String(granted.body['id'])}`)).status).toBe(204);
    expect((await ask()).body['error_codes']).toEqual([501051]);
    const removal = { keyId: password.body['keyId'] };
    expect(
      (await call('POST', `applications/${String(client.body['id'])}/removePassword`, removal)).status,
    ).toBe(204);
    expect((await ask()).body['error_codes']).toEqual([7000215]);
    expect((await call('DELETE', `applications/${String(client.body['id'])}`)).status).toBe(204);
    expect((await ask()).body['error_codes']).toEqual([700016]);
  });
});

describe('an application', () => {
  let id: string;
  beforeEach(async () => {
    id = String((await call('POST', 'applications', { displayName: 'Made' })).body['id']);
  });

  test('of version 1 takes App ID URIs that name it or the tenant only; of version 2 takes any', async () => {
    const uris = { identifierUris: [`api://free-${id}`] };
    expect(errorOf(await call('PATCH', `applications/${id}`, uris)).message).toMatch(
      /^Failed to add identifier URI/,
    );
    expect(
      (await call('PATCH', `applications/${id}`, { identifierUris: [`api://graph.test/${id}`] })).status,
    ).toBe(204);
    await call('PATCH', `applications/${id}`, { api: { requestedAccessTokenVersion: 2 } });
    expect((await call('PATCH', `applications/${id}`, uris)).status).toBe(204);
    const other = await call('POST', 'applications', {
      displayName: 'Other',
      api: { requestedAccessTokenVersion: 2 },
    });
    const taken = await call('PATCH', `applications/${String(other.body['id'])}`, uris);
    expect(errorOf(taken).message).toContain('identifierUris already exists');
  });

  test('keeps enabled roles until they are disabled', async () => {
    const one = {
      id: role(7),
      value: 'one',
      displayName: 'One',
      description: 'One',
      allowedMemberTypes: ['Application'],
    };
    await call('PATCH', `applications/${id}`, { appRoles: [one] });
    expect(errorOf(await call('PATCH', `applications/${id}`, { appRoles: [] })).message).toMatch(
      /cannot be deleted/,
    );
    await call('PATCH', `applications/${id}`, { appRoles: [{ ...one, isEnabled: false }] });
    expect((await call('PATCH', `applications/${id}`, { appRoles: [] })).status).toBe(204);
    expect((await call('PATCH', `applications/${id}`, { appRoles: [one, one] })).status).toBe(400);
  });

  test('keeps the value of a role until it is disabled', async () => {
    const one = {
      id: role(7),
      value: 'one',
      displayName: 'One',
      description: 'One',
      allowedMemberTypes: ['Application'],
    };
    const set = (change: object) =>
      call('PATCH', `applications/${id}`, { appRoles: [{ ...one, ...change }] });
    expect((await set({ isEnabled: true })).status).toBe(204);
    expect(errorOf(await set({ value: 'two' })).message).toMatch(/cannot be updated/);
    expect((await set({ displayName: 'Other' })).status).toBe(204);
    await set({ isEnabled: false });
    expect((await set({ value: 'two', isEnabled: false })).status).toBe(204);
  });

  test('has no App ID URI twice', async () => {
    const identifierUris = [`api://graph.test/${id}`, `api://graph.test/${id}`];
    expect((await call('PATCH', `applications/${id}`, { identifierUris })).status).toBe(400);
  });

  test.each([
    [{ api: { nonsense: 1 } }, 'api.nonsense'],
    [{ optionalClaims: { nonsense: [] } }, 'optionalClaims.nonsense'],
    [{ optionalClaims: { accessToken: [{ name: 'idtyp', nonsense: 1 }] } }, 'accessToken.0.nonsense'],
    [{ keyCredentials: [{ type: 'AsymmetricX509Cert', usage: 'Verify', nonsense: 1 }] }, 'nonsense'],
    [{ requiredResourceAccess: [{ resourceAppId: role(1), resourceAccess: [], x: 1 }] }, '0.x'],
  ])('refuses %j', async (body, name) => {
    const answer = await call('PATCH', `applications/${id}`, body);
    expect(answer.status).toBe(400);
    expect(errorOf(answer).message).toContain(`${name}'`);
  });

  test('keeps delegated permissions and the claims of other tokens', async () => {
    const scope = { id: role(6), value: 'read', type: 'User', isEnabled: true };
    const api = { oauth2PermissionScopes: [scope], acceptMappedClaims: true };
    const optionalClaims = {
      accessToken: [{ name: 'idtyp', essential: true }],
      idToken: [{ name: 'email', essential: false }],
      saml2Token: [],
    };
    expect((await call('PATCH', `applications/${id}`, { api, optionalClaims })).status).toBe(204);
    await call('PATCH', `applications/${id}`, { api: { requestedAccessTokenVersion: 2 } });
    expect((await call('GET', `applications/${id}`)).body).toMatchObject({
      api: { ...api, requestedAccessTokenVersion: 2 },
      optionalClaims,
    });
    const { body } = await call('GET', `applications/${id}?$select=api,optionalClaims,appRoles`);
    const { '@odata.context': _, ...same } = body;
    expect((await call('PATCH', `applications/${id}`, same)).status).toBe(204);
  });

  test('takes a certificate for a part of its time, and for no longer', async () => {
    const { certificate } = await makeCertificate();
    const key = certificate.replaceAll(/-----[^-]+-----|\s/g, '');
    const credential = { type: 'AsymmetricX509Cert', usage: 'Verify', key };
    const day = (days: number): string => new Date(Date.now() + days * 86_400_000).toISOString();
    const put = (times: object) =>
      call('PATCH', `applications/${id}`, { keyCredentials: [{ ...credential, ...times }] });
    const times = { startDateTime: day(1), endDateTime: day(2) };
    expect((await put(times)).status).toBe(204);
    const shown = (await call('GET', `applications/${id}`)).body['keyCredentials'];
    expect(shown).toMatchObject([times]);
    expect((await put({ endDateTime: day(36_500) })).status).toBe(400);
    expect((await put({ startDateTime: day(-36_500) })).status).toBe(400);
    expect((await put({ startDateTime: day(2), endDateTime: day(1) })).status).toBe(400);
  });

  test('takes certificates, and shows them where they are asked for', async () => {
    const { certificate } = await makeCertificate();
    const key = certificate.replaceAll(/-----[^-]+-----|\s/g, '');
    const credential = { type: 'AsymmetricX509Cert', usage: 'Verify', key, displayName: 'one' };
    expect((await call('PATCH', `applications/${id}`, { keyCredentials: [credential] })).status).toBe(204);
    const shown = (await call('GET', `applications/${id}`)).body['keyCredentials'] as Record<
      string,
      unknown
    >[];
    expect(shown).toMatchObject([{ key: null, displayName: 'one' }]);
    const asked = await call('GET', `applications/${id}?$select=keyCredentials`);
    expect(asked.body['keyCredentials']).toMatchObject([{ key }]);
    const kept = { type: 'AsymmetricX509Cert', usage: 'Verify', key: null, keyId: shown[0]?.['keyId'] };
    expect((await call('PATCH', `applications/${id}`, { keyCredentials: [kept] })).status).toBe(204);
    const broken = { ...credential, key: 'bm9uc2Vuc2U=' };
    expect((await call('PATCH', `applications/${id}`, { keyCredentials: [broken] })).status).toBe(400);
  });

  test('takes federated credentials, unique by issuer and subject', async () => {
    const path = `applications/${id}/federatedIdentityCredentials`;
    const one = {
      name: 'one',
      issuer: 'https://issuer.test',
      subject: 'a',
      audiences: ['api://AzureADTokenExchange'],
    };
    expect(await call('POST', path, one)).toMatchObject({ status: 201, body: one });
    expect((await call('POST', path, { ...one, name: 'two' })).status).toBe(400);
    expect((await call('POST', path, { ...one, subject: 'b' })).status).toBe(400);
    expect(
      (await call('POST', path, { ...one, name: 'two', audiences: ['a', 'b'], subject: 'b' })).status,
    ).toBe(400);
    const { name: _, ...rest } = one;
    const upsert = await call('PATCH', `${path}(name='two')`, { ...rest, subject: 'b' }, createIfMissing);
    expect(upsert.status).toBe(201);
    expect((await call('GET', `${path}/two`)).body).toMatchObject({ subject: 'b' });
    expect((await call('PATCH', `${path}/two`, { subject: 'c' })).status).toBe(204);
    expect((await call('DELETE', `${path}/two`)).status).toBe(204);
    expect((await call('GET', path)).body['value']).toHaveLength(1);
  });

  test('keeps what has no effect here, and refuses what Graph does not have', async () => {
    const web = { redirectUris: ['https://app.test'] };
    expect((await call('PATCH', `applications/${id}`, { web })).status).toBe(204);
    expect((await call('GET', `applications/${id}`)).body).toMatchObject({ web });
    expect(errorOf(await call('PATCH', `applications/${id}`, { nonsense: 1 })).message).toBe(
      "Invalid property 'nonsense'.",
    );
    const passwords = await call('PATCH', `applications/${id}`, { passwordCredentials: [] });
    expect(errorOf(passwords).message).toMatch(/cannot be set/);
  });
});

describe('a list', () => {
  test('can be filtered, selected and read page by page', async () => {
    for (const n of [1, 2, 3]) await call('POST', 'applications', { displayName: `Page O'${n}` });
    const filter = encodeURIComponent(
      "startswith(displayName,'page o''') and signInAudience eq 'AzureADMyOrg'",
    );
    const first = await call('GET', `applications?$filter=${filter}&$select=displayName&$top=2&$count=true`);
    expect(first.body['@odata.count']).toBe(3);
    expect(first.body['value']).toEqual([{ displayName: "Page O'1" }, { displayName: "Page O'2" }]);
    const next = String(first.body['@odata.nextLink']).slice(`${entra.origin}/v1.0/`.length);
    const second = await call('GET', next);
    expect(second.body['value']).toEqual([{ displayName: "Page O'3" }]);
    expect(second.body).not.toHaveProperty('@odata.nextLink');
  });

  test('takes options in any case, and without the dollar', async () => {
    const { body } = await call('GET', `servicePrincipals?FILTER=appId%20eq%20'${role(1)}'&$Select=appId`);
    expect(body['value']).toEqual([{ appId: role(1) }]);
    expect((await call('GET', 'applications?top=1')).body['value']).toHaveLength(1);
  });

  test('finds one by appId', async () => {
    const { body } = await call('GET', `servicePrincipals?$filter=appId%20eq%20'${role(1)}'`);
    expect(body['value']).toMatchObject([{ displayName: 'admin' }]);
  });

  test.each([
    ['applications?$filter=nonsense', 400],
    ['applications?$top=0', 400],
    ['applications?$skiptoken=%00', 400],
    ['applications?$expand=owners', 501],
    ['applications?EXPAND=owners', 501],
    ['applications?top=0', 400],
    ['applications?$top=1&TOP=1', 400],
    ["applications?$filter=nonsense%20eq%20'x'", 400],
    ["applications?$filter=constructor%20eq%20'x'", 400],
    ["applications?$filter=api/nonsense%20eq%20'x'", 400],
    ["applications?$filter=startswith(toString,'x')", 400],
    ["applications?$filter=nonsense/any(x:x%20eq%20'y')", 400],
    ["servicePrincipals?$filter=identifierUris/any(x:x%20eq%20'y')", 400],
    ['applications?$select=id,nonsense', 400],
    ['applications?$select=__proto__', 400],
    [`applications(appId='${role(1)}')?$select=constructor`, 400],
  ])('refuses %s', async (path, status) => {
    expect((await call('GET', path)).status).toBe(status);
  });
});

describe('Graph refuses', () => {
  test('a request without a token, and one with a token for another API', async () => {
    const without = await send(entra, '/v1.0/applications');
    expect(without.status).toBe(401);
    expect(errorOf(without)).toMatchObject({
      code: 'InvalidAuthenticationToken',
      innerError: {
        date: expect.any(String),
        'request-id': expect.any(String),
        'client-request-id': expect.any(String),
      },
    });
    tokens['broken'] = `${tokens['admin']}x`;
    expect((await call('GET', 'applications', undefined, { as: 'broken' })).status).toBe(401);
  });

  test.each([
    ['nobody', 'GET', 'applications', undefined],
    ['reader', 'POST', 'applications', { displayName: 'x' }],
    ['reader', 'PATCH', `applications(appId='${role(1)}')`, { displayName: 'x' }],
    ['owner', 'PATCH', `applications(appId='${role(1)}')`, { displayName: 'x' }],
    ['owner', 'POST', `applications(appId='${role(1)}')/addPassword`, {}],
    ['owner', 'POST', `servicePrincipals(appId='${role(1)}')/appRoleAssignedTo`, {}],
    ['granter', 'POST', `servicePrincipals(appId='${role(1)}')/appRoleAssignedTo`, {}],
  ])('%s: %s %s', async (as, method, path, body) => {
    const answer = await call(method, path, body, { as });
    expect(answer.status).toBe(403);
    expect(errorOf(answer).code).toBe('Authorization_RequestDenied');
  });

  test('changes by an owner of something else, not of what it made', async () => {
    const made = await call('POST', 'applications', { displayName: 'Own' }, { as: 'owner' });
    const path = `applications/${String(made.body['id'])}`;
    expect((await call('PATCH', path, { displayName: 'Mine' }, { as: 'owner' })).status).toBe(204);
  });

  test('unknown objects, and service principals without an application', async () => {
    expect(errorOf(await call('GET', `applications/${role(0)}`)).code).toBe('Request_ResourceNotFound');
    expect((await call('PATCH', "applications(uniqueName='none')", {})).status).toBe(404);
    const orphan = await call('POST', 'servicePrincipals', { appId: role(0) });
    expect(orphan.status).toBe(400);
    expect(errorOf(orphan).details).toMatchObject([{ code: 'NoBackingApplicationObject' }]);
    expect((await call('POST', 'servicePrincipals', { appId: role(1) })).status).toBe(409);
  });

  test('a role for users only, where an application should have it', async () => {
    const appRoles = [
      { id: role(8), value: 'u', displayName: 'U', description: 'U', allowedMemberTypes: ['User'] },
    ];
    const api = await call('POST', 'applications', { displayName: 'For users', appRoles });
    const resource = await call('POST', 'servicePrincipals', { appId: api.body['appId'] });
    const client = await call('GET', `servicePrincipals(appId='${role(4)}')`);
    const refused = await call('POST', `servicePrincipals/${String(resource.body['id'])}/appRoleAssignedTo`, {
      principalId: client.body['id'],
      resourceId: resource.body['id'],
      appRoleId: role(8),
    });
    expect(refused.status).toBe(400);
    expect(errorOf(refused).message).toMatch(/^Permission being assigned was not found on application/);
  });

  test('a forged token that has no end, or another issuer', async () => {
    const statusWith = async (claims: Record<string, unknown>): Promise<number> => {
      tokens['forged'] = await entra.forge({ client: role(1), roles: ['Application.ReadWrite.All'], claims });
      return (await call('GET', 'applications', undefined, { as: 'forged' })).status;
    };
    expect(await statusWith({})).toBe(200);
    for (const claims of [
      { exp: null },
      { exp: '9999999999' },
      { nbf: 'x' },
      { iss: 'https://login.example/' },
    ]) {
      expect(await statusWith(claims)).toBe(401);
    }
  });

  test('to delete Graph itself', async () => {
    const answer = await call('DELETE', "servicePrincipals(appId='00000003-0000-0000-c000-000000000000')");
    expect(answer.status).toBe(400);
  });

  test.each(['/v1.0', '/v1.0/', '/beta', '/beta/applications'])(
    '%s, which it does not serve',
    async (path) => {
      const headers = { authorization: `Bearer ${tokens['admin']}` };
      const answer = await send(entra, path, { headers });
      expect(answer.status).toBe(501);
      expect(errorOf(answer).code).toBe('NotImplemented');
    },
  );

  test('what it does not support, and says what it does', async () => {
    const answer = await call('GET', 'users');
    expect(answer.status).toBe(501);
    expect(errorOf(answer).message).toContain('POST applications/{key}/addPassword');
  });

  test('broken JSON and bodies that are no objects', async () => {
    const headers = { authorization: `Bearer ${tokens['admin']}`, 'content-type': 'application/json' };
    for (const body of ['{', '[]', '"x"', 'null']) {
      expect((await send(entra, '/v1.0/applications', { method: 'POST', headers }, body)).status).toBe(400);
    }
  });
});
