import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { execFile } from 'node:child_process';
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { issueSigningCertificate } from '../../../services/local-entra/src/certificates/issue-certificate.ts';
import { type LocalEntra, startLocalEntra } from '@countersign/local-entra';
import { createEntraNetwork, createTokenSource } from '@countersign/shared-auth';
import { Agent, type Dispatcher, fetch, MockAgent } from 'undici';
import { localTenantId } from '../src/local-system.ts';
import { createGraphClient } from '../src/provision/graph-client.ts';
import { parseProvisionFile } from '../src/provision/provision-file.ts';
import { createProvisioner, type Provisioner } from '../src/provision/provisioner.ts';
import { createSecretPlace } from '../src/provision/secret-place.ts';
import { type Ran, runCommand } from './run-command.ts';

const provisionerId = 'a91000ff-0000-4000-8000-0000000000ff';
/** Nothing but who may set up the rest. */
const seedWith = (...permissions: string[]) => ({
  tenants: [
    {
      id: localTenantId,
      displayName: 'Empty',
      applications: [
        {
          name: 'provisioner',
          appId: provisionerId,
          generatedSecret: true,
          grantedRoles: permissions.map((role) => ({ resource: 'microsoft-graph', role })),
        },
      ],
    },
  ],
});
const least = ['Application.ReadWrite.OwnedBy', 'Application.Read.All', 'AppRoleAssignment.ReadWrite.All'];

let entra: LocalEntra;
let folder = '';
let agent: Agent;
beforeEach(async () => {
  entra = await startLocalEntra({ seed: seedWith(...least) });
  folder = await mkdtemp(join(tmpdir(), 'provision-'));
  await writeFile(join(folder, 'ca.pem'), entra.ca);
  agent = new Agent({ connect: { ca: entra.ca } });
});
afterEach(async () => {
  await agent.close();
  await entra.close();
  await rm(folder, { recursive: true });
});

const secretFile = (): string => join(folder, 'api2.secret');
const yaml = (): string => `
applications:
  api1:
    uniqueName: records-api
    assignmentRequired: true
    appRoles:
      - { value: access_as_application_API1, displayName: Read records }
      - { value: write_as_application_API1, displayName: Write records }
  api2:
    uniqueName: caller-api
    grants: [{ api: api1, roles: [access_as_application_API1, write_as_application_API1] }]
    secret: { writeTo: { file: ${JSON.stringify(secretFile())} } }
    federated:
      - { name: aks, kubernetes: { issuer: 'https://cluster.example/', namespace: shop, serviceAccount: caller } }
      - { name: github, github: { repository: acme/shop, environment: production } }
outputs:
  - file: ${JSON.stringify(join(folder, '.env'))}
    values: { API_CLIENT_ID: '{api1.appId}', AZURE_CLIENT_ID: '{api2.appId}', ENDS: '{api2.secretEnds}' }
`;

const env = (): Record<string, string> => ({
  AZURE_AUTHORITY_HOST: entra.origin,
  AZURE_TENANT_ID: localTenantId,
  AZURE_CLIENT_ID: provisionerId,
  AZURE_CLIENT_SECRET: entra.secrets['provisioner'] as string,
  CA_FILE: join(folder, 'ca.pem'),
});

const provision = async (command: string, options: string[] = [], content = yaml()): Promise<Ran> => {
  await writeFile(join(folder, 'p.yaml'), content);
  return runCommand(['provision', command, '-f', join(folder, 'p.yaml'), ...options], { env: env() });
};

const tokenOf = async (clientId: string, clientSecret: string, scope: string): Promise<string> => {
  const network = createEntraNetwork({ ca: entra.ca });
  const source = createTokenSource({
    authorityHost: entra.origin,
    tenantId: localTenantId,
    clientId,
    credential: { clientSecret },
    network,
  });
  const { accessToken } = await source.getToken({ scope });
  network.close();
  return accessToken;
};

const graphToken = (): Promise<string> =>
  tokenOf(provisionerId, entra.secrets['provisioner'] as string, 'https://graph.microsoft.com/.default');

interface Shown {
  value: { id: string; appId: string; uniqueName: string; [name: string]: unknown }[];
}

/** Somebody at the portal. */
const graph = async (method: string, path: string, body?: unknown): Promise<unknown> => {
  const response = await fetch(`${entra.origin}/v1.0/${path}`, {
    method,
    headers: { authorization: `Bearer ${await graphToken()}`, 'content-type': 'application/json' },
    ...(body !== undefined && { body: JSON.stringify(body) }),
    dispatcher: agent,
  });
  const text = await response.text();
  if (!response.ok) throw new Error(text);
  return text === '' ? undefined : JSON.parse(text);
};

const found = async (uniqueName: string): Promise<Shown['value'][number]> =>
  (await graph('GET', `applications(uniqueName='${uniqueName}')`)) as Shown['value'][number];

/** Everything of the two applications, without what is different each time. */
const stateOf = async (): Promise<unknown> => {
  const [api1, api2] = [await found('records-api'), await found('caller-api')];
  const principal = (await graph('GET', `servicePrincipals(appId='${api1.appId}')`)) as { id: string };
  const grants = (await graph('GET', `servicePrincipals/${principal.id}/appRoleAssignedTo`)) as Shown;
  const federated = (await graph('GET', `applications/${api2.id}/federatedIdentityCredentials`)) as Shown;
  const secret = await readFile(secretFile(), 'utf8');
  const passwords = api2['passwordCredentials'] as { hint: string }[];
  const token = await tokenOf(api2.appId, secret, `api://${api1.appId}/.default`);
  const claims = JSON.parse(Buffer.from(token.split('.')[1] as string, 'base64url').toString()) as {
    roles: string[];
  };
  return {
    uris: (api1['identifierUris'] as string[]).map((uri) => uri.replace(api1.appId, '{appId}')),
    roles: (api1['appRoles'] as { id: string; value: string }[]).map(({ id, value }) => [id, value]),
    version: (api1['api'] as { requestedAccessTokenVersion: number }).requestedAccessTokenVersion,
    principal: (principal as { appRoleAssignmentRequired?: boolean }).appRoleAssignmentRequired,
    asked: (api2['requiredResourceAccess'] as { resourceAccess: unknown[] }[]).map(
      (each) => each.resourceAccess.length,
    ),
    grants: grants.value.length,
    federated: federated.value.map(({ name, subject }) => [name, subject]),
    passwords: passwords.length,
    isKept: secret.startsWith(passwords[0]?.hint ?? '-'),
    claims: claims.roles,
    files: (await readdir(folder)).filter((name) => name.endsWith('.tmp')),
  };
};

const wantedState = {
  uris: ['api://{appId}'],
  roles: [
    [expect.any(String), 'access_as_application_API1'],
    [expect.any(String), 'write_as_application_API1'],
  ],
  version: 2,
  principal: true,
  asked: [2],
  grants: 2,
  federated: [
    ['aks', 'system:serviceaccount:shop:caller'],
    ['github', 'repo:acme/shop:environment:production'],
  ],
  passwords: 1,
  isKept: true,
  claims: ['access_as_application_API1', 'write_as_application_API1'],
  files: [],
};

describe('countersign provision', () => {
  test('sets up an empty tenant; a second time changes nothing', async () => {
    expect((await provision('plan')).code).toBe(2);
    const first = await provision('apply');
    expect(first.stderr).not.toContain('    at ');
    expect(first.code).toBe(0);
    expect(await stateOf()).toEqual(wantedState);
    const second = await provision('apply');
    expect(second.stdout).toContain('Nothing to change');
    expect(second.code).toBe(0);
    expect(second.stderr).toBe('');
    expect((await provision('plan')).code).toBe(0);
    expect((await provision('verify')).code).toBe(0);
  });

  test('the secret is in its file alone, which its owner alone can read', async () => {
    const { stdout, stderr } = await provision('apply');
    const secret = await readFile(secretFile(), 'utf8');
    expect(((await stat(secretFile())).mode & 0o777).toString(8)).toBe('600');
    expect(secret.length).toBeGreaterThan(15);
    expect(stdout + stderr).not.toContain(secret);
    expect(await readFile(join(folder, '.env'), 'utf8')).not.toContain(secret);
    expect(JSON.stringify(await provision('verify', ['--json']))).not.toContain(secret);
  });

  test('an output keeps the lines that are not its own', async () => {
    await writeFile(join(folder, '.env'), 'OTHER=1\nAPI_CLIENT_ID=old\n');
    await provision('apply');
    const { appId } = await found('records-api');
    expect(await readFile(join(folder, '.env'), 'utf8')).toMatch(
      new RegExp(`^OTHER=1\nAPI_CLIENT_ID=${appId}\nAZURE_CLIENT_ID=.*\nENDS=.*\n$`),
    );
  });

  test('an output that names a variable twice is mended, and stays so', async () => {
    await writeFile(join(folder, '.env'), 'API_CLIENT_ID=x\n  export API_CLIENT_ID = y\n');
    expect((await provision('apply')).code).toBe(0);
    const { appId } = await found('records-api');
    expect(await readFile(join(folder, '.env'), 'utf8')).toMatch(
      new RegExp(`^API_CLIENT_ID=${appId}\nAPI_CLIENT_ID=${appId}\n`),
    );
    expect((await provision('plan')).code).toBe(0);
  });

  test('destroy that was killed after Graph deleted an application removes its secret all the same', async () => {
    await provision('apply');
    await graph('DELETE', `applications/${(await found('caller-api')).id}`);
    expect((await provision('destroy', ['--yes'])).code).toBe(0);
    await expect(stat(secretFile())).rejects.toThrow('ENOENT');
  });

  test('destroy deletes what the file names, and apply makes it again', async () => {
    await provision('apply');
    expect((await provision('destroy')).stderr).toContain('--yes');
    expect((await provision('destroy', ['--yes'])).code).toBe(0);
    await expect(found('records-api')).rejects.toThrow('does not exist');
    await expect(stat(secretFile())).rejects.toThrow('ENOENT');
    expect((await provision('apply')).code).toBe(0);
  });

  test('rotate-secret: another one works, the old one does not', async () => {
    await provision('apply');
    const before = await readFile(secretFile(), 'utf8');
    const { code, stdout, stderr } = await provision('rotate-secret', ['api2']);
    const after = await readFile(secretFile(), 'utf8');
    expect([code, stdout]).toEqual([0, '1 rotated\n']);
    expect(stderr).not.toContain(after);
    expect(after).not.toBe(before);
    const { appId } = await found('caller-api');
    await expect(tokenOf(appId, before, 'https://graph.microsoft.com/.default')).rejects.toThrow(/token/);
    expect(await stateOf()).toEqual(wantedState);
    expect((await provision('plan')).code).toBe(0);
  });

  test('rotate-secret --keep-old: both work, until apply removes the old one', async () => {
    await provision('apply');
    const before = await readFile(secretFile(), 'utf8');
    await provision('rotate-secret', ['--keep-old']);
    const { appId } = await found('caller-api');
    expect(await tokenOf(appId, before, 'https://graph.microsoft.com/.default')).toMatch(/^eyJ/);
    expect((await provision('plan')).code).toBe(2);
    expect((await provision('apply')).stderr).toContain('Something is deleted. Say so with --yes.');
    expect((await provision('apply', ['--yes'])).code).toBe(0);
    expect(await stateOf()).toEqual(wantedState);
  });
});

describe('drift is planned and mended', () => {
  const principalOf = async (uniqueName: string): Promise<string> =>
    ((await graph('GET', `servicePrincipals(appId='${(await found(uniqueName)).appId}')`)) as { id: string })
      .id;
  const change = async (uniqueName: string, body: unknown): Promise<unknown> =>
    graph('PATCH', `applications/${(await found(uniqueName)).id}`, body);

  test.each<[string, string, () => Promise<unknown>]>([
    [
      'a role removed',
      '+ app role write_as_application_API1',
      async () => {
        const roles = (await found('records-api'))['appRoles'] as { value: string; isEnabled: boolean }[];
        const disabled = roles.map((role) => ({ ...role, isEnabled: role.value.startsWith('access') }));
        await change('records-api', { appRoles: disabled });
        await change('records-api', { appRoles: disabled.filter(({ isEnabled }) => isEnabled) });
      },
    ],
    [
      'a role disabled',
      'app role access_as_application_API1, isEnabled: false → true',
      async () => {
        const roles = (await found('records-api'))['appRoles'] as object[];
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
        const { value } = (await graph('GET', `servicePrincipals/${id}/appRoleAssignedTo`)) as Shown;
        await graph('DELETE', `servicePrincipals/${id}/appRoleAssignedTo/${value[0]?.id}`);
      },
    ],
    [
      'assignment no longer required',
      'appRoleAssignmentRequired: false → true',
      async () =>
        graph('PATCH', `servicePrincipals/${await principalOf('records-api')}`, {
          appRoleAssignmentRequired: false,
        }),
    ],
    [
      'the caller disabled',
      'accountEnabled: false → true',
      async () =>
        graph('PATCH', `servicePrincipals/${await principalOf('caller-api')}`, { accountEnabled: false }),
    ],
    [
      'a federated subject edited',
      'subject: "system:serviceaccount:shop:other"',
      async () => {
        const { id } = await found('caller-api');
        const { value } = (await graph('GET', `applications/${id}/federatedIdentityCredentials`)) as Shown;
        await graph('PATCH', `applications/${id}/federatedIdentityCredentials/${value[0]?.id}`, {
          subject: 'system:serviceaccount:shop:other',
        });
      },
    ],
    ['the file with the secret lost', 'none is kept', () => rm(secretFile())],
    [
      'the file with the secret overwritten',
      'none is kept',
      () => writeFile(secretFile(), '!?# something else'),
    ],
    [
      'the secret removed',
      'none is kept',
      async () => {
        const { id, passwordCredentials } = await found('caller-api');
        const [{ keyId }] = passwordCredentials as [{ keyId: string }];
        await graph('POST', `applications/${id}/removePassword`, { keyId });
      },
    ],
    ['an output edited', 'API_CLIENT_ID: x → ', () => writeFile(join(folder, '.env'), 'API_CLIENT_ID=x\n')],
  ])('%s', async (_, line, edit) => {
    await provision('apply');
    await edit();
    const plan = await provision('plan');
    expect(plan.stdout).toContain(line);
    expect(plan.code).toBe(2);
    expect((await provision('verify')).code).toBe(2);
    expect((await provision('apply', ['--yes'])).code).toBe(0);
    expect((await provision('plan')).code).toBe(0);
    const state = (await stateOf()) as { uris: string[] };
    expect({ ...state, uris: state.uris.filter((uri) => uri !== 'api://elsewhere') }).toEqual(wantedState);
  });

  test('a secret that ends soon is replaced', async () => {
    const short = yaml().replace('secret: { ', 'secret: { lifetimeDays: 20, renewBeforeDays: 5, ');
    await provision('apply', [], short);
    const plan = await provision('plan', [], short.replace('renewBeforeDays: 5', 'renewBeforeDays: 21'));
    expect(plan.stdout).toContain('19 days left');
    expect(plan.code).toBe(2);
  });

  test('a secret that has expired is replaced, and the old one removed', async () => {
    await provision('apply');
    const before = await readFile(secretFile(), 'utf8');
    const provisioner = await open(agent, async () => {}, 200 * 86_400_000);
    const { changes } = await provisioner.plan();
    expect(changes.map(({ action, lines }) => `${action} ${lines[0]?.text}`)).toEqual([
      'update valid for 180 days (has expired)',
      expect.stringMatching(/^delete /),
    ]);
    await applyAll(provisioner);
    expect((await provisioner.plan()).changes).toEqual([]);
    expect(await readFile(secretFile(), 'utf8')).not.toBe(before);
    expect(await stateOf()).toEqual(wantedState);
  });

  test('what the file does not name is noted and left alone', async () => {
    await provision('apply');
    const { id } = await found('caller-api');
    await graph('POST', `applications/${id}/addPassword`, { passwordCredential: { displayName: 'portal' } });
    const { stdout, code } = await provision('plan');
    expect(stdout).toContain('secret "portal"');
    expect(code).toBe(0);
  });

  test('of an adopted application, only what the file says is changed', async () => {
    const portal = (await graph('POST', 'applications', {
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
    await graph('POST', 'servicePrincipals', { appId: portal.appId, appRoleAssignmentRequired: true });
    const adopting = `applications:
  api1: { appId: ${portal.appId}, identifierUris: [], appRoles: [{ value: access_as_application_API1 }] }
  caller: { grants: [{ api: api1, roles: [access_as_application_API1] }] }
`;
    expect((await provision('apply', [], adopting)).code).toBe(0);
    expect(await graph('GET', `applications/${portal.id}`)).toMatchObject({
      displayName: 'Portal',
      signInAudience: 'AzureADMultipleOrgs',
      appRoles: [{ displayName: 'Theirs', description: 'Theirs' }],
      api: { requestedAccessTokenVersion: 2 },
    });
    expect(await graph('GET', `servicePrincipals(appId='${portal.appId}')`)).toMatchObject({
      appRoleAssignmentRequired: true,
    });
    expect((await provision('plan', [], adopting)).code).toBe(0);
  });

  test('an application of the portal is adopted by its appId, and never doubled by its name', async () => {
    const { appId } = (await graph('POST', 'applications', { displayName: 'caller-api' })) as {
      appId: string;
    };
    const refused = await provision('apply');
    expect(refused.stderr).toContain(`write under api2: "appId: ${appId}"`);
    expect(refused.code).toBe(1);
    const adopting = yaml().replace('uniqueName: caller-api', `displayName: caller-api\n    appId: ${appId}`);
    expect((await provision('apply', [], adopting)).code).toBe(0);
    expect((await provision('apply', [], adopting)).stdout).toContain('Nothing to change');
    expect((await provision('destroy', ['--yes'], adopting)).stderr).toContain(
      'Adopted applications are not deleted',
    );
  });
});

/** Sends a request, and loses its answer. */
const withoutAnswer: Dispatcher.DispatcherComposeInterceptor = (dispatch) => (options, handler) =>
  dispatch(options, {
    onRequestStart: (controller, context) => handler.onRequestStart?.(controller, context),
    onResponseStart: (controller) => controller.abort(new Error('killed')),
    onResponseData: () => {},
    onResponseEnd: () => {},
    onResponseError: (controller, error) => handler.onResponseError?.(controller, error),
  });

/** What `createProvisioner` is given by the command, on a clock of its own. */
const open = async (
  dispatcher: Agent,
  pause: (ms: number) => Promise<void>,
  laterMs = 0,
): Promise<Provisioner> => {
  let shiftMs = laterMs;
  entra.shiftClock(shiftMs / 1000);
  return createProvisioner({
    file: parseProvisionFile(yaml(), 'p.yaml'),
    authority: entra.origin,
    tenantId: localTenantId,
    graphOrigin: entra.origin,
    ca: entra.ca,
    dispatcher,
    signIn: graphToken,
    clock: () => Date.now() + shiftMs,
    pause: async (ms) => {
      shiftMs += ms;
      entra.shiftClock(shiftMs / 1000);
      await pause(ms);
    },
  });
};

const applyAll = async (provisioner: Provisioner): Promise<void> => {
  for (let round = 0; round < 4; round += 1)
    await provisioner.carryOut((await provisioner.plan()).changes, () => {});
};

describe('the token for Graph goes to Graph alone', () => {
  const clientOf = (mock: MockAgent) =>
    createGraphClient({
      origin: 'https://graph.example',
      token: 'the-token',
      dispatcher: mock as unknown as Agent,
      pause: async () => {},
    });
  const page = { path: '/v1.0/applications', method: 'GET' } as const;

  test.each([
    [
      'at another host',
      'https://elsewhere.example/v1.0/applications',
      'at another host: https://elsewhere.example',
    ],
    [
      'that looks like it',
      'https://graph.example@elsewhere.example/',
      'at another host: https://elsewhere.example',
    ],
    ['without TLS', 'http://graph.example/v1.0/applications', 'at another host: http://graph.example'],
    ['once more', 'https://graph.example/v1.0/applications', 'names a page twice'],
  ])('a next page %s is not asked for', async (_, next, sentence) => {
    const mock = new MockAgent();
    mock.disableNetConnect();
    const answer = { value: [], '@odata.nextLink': next };
    mock.get('https://graph.example').intercept(page).reply(200, answer).times(2);
    const asked: string[] = [];
    mock.on('connect', (origin: URL) => asked.push(origin.origin));
    await expect(clientOf(mock).list('applications')).rejects.toThrow(sentence);
    expect(asked.filter((origin) => origin !== 'https://graph.example')).toEqual([]);
    await mock.close();
  });

  test('a redirect is not followed', async () => {
    const mock = new MockAgent();
    mock.disableNetConnect();
    const headers = { location: 'https://elsewhere.example/' };
    mock.get('https://graph.example').intercept(page).reply(302, '', { headers }).persist();
    await expect(clientOf(mock).list('applications')).rejects.toThrow('unexpected redirect');
    await mock.close();
  });
});

describe('weather', () => {
  test.each([
    ['429 with Retry-After', { endpoint: 'graph', status: 429, retryAfterSeconds: 7, count: 2 }, 7000],
    ['503 of a proxy', { endpoint: 'graph', status: 503, body: 'html', count: 2 }, undefined],
    ['connections cut', { endpoint: 'graph', disconnect: true, count: 2 }, undefined],
  ] as const)('%s at every step is survived', async (_, fault, waitMs) => {
    const waits: number[] = [];
    const provisioner = await open(agent, async (ms) => {
      waits.push(ms);
    });
    entra.faults.add(fault);
    const { changes } = await provisioner.plan();
    await provisioner.carryOut(changes, () => {
      entra.faults.add(fault);
    });
    expect(waits).toHaveLength(2 * (changes.length + 1));
    expect(waits.every((ms) => ms === (waitMs ?? ms))).toBe(true);
    expect(await stateOf()).toEqual(wantedState);
  });

  test('an answer that is lost at every change is survived', async () => {
    const sent = new Set<string>();
    const losing = agent.compose((dispatch) => (options, handler) => {
      const request = `${options.method} ${options.path} ${JSON.stringify(options.headers)}`;
      const isFirst = options.method !== 'GET' && !sent.has(request.replaceAll(/[\da-f-]{36}/g, ''));
      sent.add(request.replaceAll(/[\da-f-]{36}/g, ''));
      return (isFirst ? withoutAnswer(dispatch) : dispatch)(options, handler);
    });
    await applyAll(await open(losing as unknown as Agent, async () => {}));
    expect(sent.size).toBeGreaterThan(6);
    expect(await stateOf()).toEqual(wantedState);
  });

  test('secrets and grants that take a minute to be known are waited for', async () => {
    entra.delayPropagation({ secrets: 60, roles: 90 });
    const waits: number[] = [];
    const provisioner = await open(agent, async (ms) => {
      waits.push(ms);
    });
    await provisioner.carryOut((await provisioner.plan()).changes, () => {});
    expect(await provisioner.checkTokens(true)).toEqual([
      { application: 'api2', api: 'api1', isGood: true, detail: expect.stringContaining('version 2.0') },
    ]);
    expect(waits.reduce((sum, ms) => sum + ms, 0)).toBeGreaterThan(60_000);
  });

  test('Graph that never answers: a sentence, in bounded time', async () => {
    const provisioner = await open(agent, async () => {});
    entra.faults.add({ endpoint: 'graph', status: 500 });
    await expect(provisioner.plan()).rejects.toThrow(/GET .*ServiceUnavailable/);
  });
});

describe('killed at any step and run again, it ends in the same state', () => {
  /** Fails for good from the n-th change on: before it is sent, or after it was answered. */
  const dyingAgent = (atChange: number, isAnswered: boolean): Agent => {
    let changes = 0;
    const dying = agent.compose((dispatch) => (options, handler) => {
      changes += options.method === 'GET' ? 0 : 1;
      if (changes < atChange) return dispatch(options, handler);
      if (changes === atChange && isAnswered && options.method !== 'GET') {
        return withoutAnswer(dispatch)(options, handler);
      }
      throw new Error('killed');
    });
    return dying as unknown as Agent;
  };

  const steps = Array.from({ length: 11 }, (_, index) => index + 1);
  test.each(
    steps.flatMap((step) => [
      [step, 'before it is sent', false] as const,
      [step, 'after it was answered', true] as const,
    ]),
  )('at change %i, %s', async (step, _, isAnswered) => {
    const killed = await open(dyingAgent(step, isAnswered), () => Promise.reject(new Error('killed')));
    const { changes } = await killed.plan();
    // The last ones: writes of files and tokens, which are no changes of Graph.
    const result = await killed.carryOut(changes, () => {}).catch((error: Error) => error.message);
    expect(result).toMatch(/killed/);
    const arrived = entra.requests
      .list()
      .filter(({ method, path }) => method !== 'GET' && path.startsWith('/v1.0'));
    expect(arrived).toHaveLength(isAnswered ? step : step - 1);
    await applyAll(await open(agent, async () => {}));
    expect(await stateOf()).toEqual(wantedState);
    expect((await provision('plan')).code).toBe(0);
  });
});

test('a certificate is registered beside those that are there, and an application takes a token with it', async () => {
  const pair = async (name: string): Promise<void> => {
    const { key, certificate } = await issueSigningCertificate(Date.now());
    await writeFile(join(folder, name), `${key}\n${certificate}`);
  };
  await pair('first.pem');
  await pair('second.pem');
  const withFile = (name: string): string => `applications:
  api: { appRoles: [{ value: r }] }
  caller:
    grants: [{ api: api, roles: [r] }]
    certificate: { file: ${JSON.stringify(join(folder, name))} }
`;
  expect((await provision('apply', [], withFile('first.pem'))).code).toBe(0);
  expect((await provision('plan', [], withFile('first.pem'))).code).toBe(0);
  expect((await provision('plan', [], withFile('second.pem'))).stdout).toContain('+ certificate of caller');
  const { code, stdout, stderr } = await provision('apply', [], withFile('second.pem'));
  expect([code, (stdout + stderr).includes('PRIVATE KEY')]).toEqual([0, false]);
  const { appId, keyCredentials } = await found('caller');
  expect(keyCredentials).toHaveLength(2);
  for (const name of ['first.pem', 'second.pem']) {
    const ran = await runCommand(['token', '--scope', `${(await found('api')).appId}/.default`, '--claims'], {
      env: {
        ...env(),
        AZURE_CLIENT_ID: appId,
        AZURE_CLIENT_SECRET: '',
        AZURE_CLIENT_CERTIFICATE_PATH: join(folder, name),
      },
    });
    expect([ran.stderr, ran.code]).toEqual(['', 0]);
    expect(JSON.parse(ran.stdout)).toMatchObject({ azp: appId, azpacr: '2', roles: ['r'] });
  }
});

describe('places for the secret', () => {
  test('a Secret manifest', async () => {
    const file = join(folder, 'secret.yaml');
    const content = yaml().replace(
      /writeTo: \{.*?\} \}/,
      `writeTo: { kubernetesSecret: { file: ${JSON.stringify(file)}, name: caller-api, namespace: shop } } }`,
    );
    expect((await provision('apply', [], content)).code).toBe(0);
    expect(await readFile(file, 'utf8')).toMatch(/kind: Secret[^]*namespace: shop[^]*client-secret: \S{16,}/);
    expect(((await stat(file)).mode & 0o777).toString(8)).toBe('600');
    expect((await provision('apply', [], content)).stdout).toContain('Nothing to change');
  });

  test('a file that holds something else is left alone', async () => {
    const file = join(folder, 'all.yaml');
    const content = yaml().replace(
      /writeTo: \{.*?\} \}/,
      `writeTo: { kubernetesSecret: { file: ${JSON.stringify(file)}, name: caller-api } } }`,
    );
    const mine = 'kind: Secret\nmetadata: { name: caller-api }\n---\nkind: Service\n';
    await writeFile(file, mine);
    for (const command of ['plan', 'apply', 'destroy']) {
      const { code, stderr } = await provision(command, command === 'plan' ? [] : ['--yes'], content);
      expect([code, stderr]).toEqual([
        1,
        `${file} holds something else than the Secret caller-api: it is left alone.\n`,
      ]);
    }
    expect(await readFile(file, 'utf8')).toBe(mine);
  });

  test('Key Vault', async () => {
    const vault = new MockAgent();
    vault.disableNetConnect();
    const pool = vault.get('https://v.vault.azure.net');
    const path = '/secrets/caller-api?api-version=7.4';
    const put: string[] = [];
    pool.intercept({ path, method: 'GET' }).reply(404, {});
    pool.intercept({ path, method: 'PUT' }).reply(200, ({ body }) => {
      put.push(body as string);
      return {};
    });
    pool.intercept({ path, method: 'GET' }).reply(200, { value: 's', tags: { 'key-id': 'k1' } });
    pool.intercept({ path, method: 'PUT' }).reply(403, { error: { message: 'the-secret is refused' } });
    const place = createSecretPlace(
      { keyVault: { url: 'https://v.vault.azure.net', name: 'caller-api' } },
      { dispatcher: vault as unknown as Agent, vaultToken: async () => 'token' },
    );
    const secret = { text: 'the-secret', keyId: 'k1', endDateTime: '2030-01-01T00:00:00Z' };
    const password = { displayName: null, hint: null, startDateTime: '', endDateTime: '' };
    expect(await place.read()).toBeUndefined();
    await place.write(secret);
    expect(JSON.parse(put[0] as string)).toEqual({
      value: 'the-secret',
      tags: { 'key-id': 'k1' },
      attributes: { exp: 1_893_456_000 },
    });
    const isKept = await place.read();
    expect([isKept?.({ ...password, keyId: 'k1' }), isKept?.({ ...password, keyId: 'k2' })]).toEqual([
      true,
      false,
    ]);
    const refusal = await place.write(secret).catch((error: Error) => error.message);
    expect(refusal).toContain('Key Vault Secrets Officer');
    expect(refusal).not.toContain('the-secret');
    await vault.close();
  });
});

describe('bad input', () => {
  test.each<[string, string, string]>([
    ['YAML that is none', 'applications: [', 'p.yaml:1:16: '],
    [
      'an unknown field',
      'applications:\n  a: { secrets: 1 }\n',
      'p.yaml:2:8: applications.a.secrets is not a known field',
    ],
    [
      'a GUID that is none',
      'applications:\n  a:\n    appId: x\n',
      'p.yaml:3:12: applications.a.appId must be a GUID',
    ],
    [
      'a grant on nothing',
      'applications:\n  a:\n    grants: [{ api: b, roles: [c] }]\n',
      'p.yaml:3:21: applications.a.grants[0].api names no application of this file: "b"',
    ],
    [
      'a role that is not there',
      'applications:\n  a: { appRoles: [{ value: r }] }\n  b:\n    grants: [{ api: a, roles: [s] }]\n',
      'p.yaml:4:32: applications.b.grants[0].roles[0] names no role of a: "s"',
    ],
    [
      'two of a name',
      'applications:\n  a: { uniqueName: x }\n  b: { uniqueName: x }\n',
      'p.yaml:3:6: applications.b repeats the uniqueName of a',
    ],
    [
      'a GitHub credential for everything',
      'applications:\n  a:\n    federated: [{ name: g, github: { repository: o/r } }]\n',
      'must have one of branch, environment and pullRequest',
    ],
    [
      'a placeholder that is none',
      'applications: {}\noutputs: [{ file: x, values: { A: "{api9.appId}" } }]\n',
      'uses {api9.appId}, which is none of',
    ],
    ['no applications', 'tenant: 1\n', 'p.yaml:1:9: tenant '],
    [
      'aliases of aliases',
      `a: &a [${'x,'.repeat(20)}]\nb: &b [${'*a,'.repeat(20)}]\nc: [${'*b,'.repeat(20)}]\n`,
      'p.yaml:2:8: Excessive alias count',
    ],
    [
      'a file for two secrets',
      'applications:\n  a: { secret: { writeTo: { file: x } } }\n  b: { secret: { writeTo: { file: ./x } } }\n',
      'p.yaml:3:35: applications.b.secret.writeTo.file names a file that applications.a.secret.writeTo.file writes',
    ],
    [
      'a secret over an output',
      'applications:\n  a: { secret: { writeTo: { file: x } } }\noutputs: [{ file: x, values: {} }]\n',
      'p.yaml:3:19: outputs[0].file names a file that',
    ],
    [
      'a value that is read in two ways',
      `applications: {}\noutputs: [{ file: x, values: { A: "it's #1" } }]\n`,
      "readers of such files do not agree on this value of A: it's #1",
    ],
    [
      'another authority than the credential’s',
      'authority: https://elsewhere.example\napplications: {}\n',
      'and the file names https://elsewhere.example: it is sent there with --authority',
    ],
  ])('%s: line and column', async (_, content, message) => {
    const { code, stderr } = await provision('plan', [], content);
    expect(stderr.replaceAll(`${folder}/`, '')).toContain(message);
    expect(stderr).not.toContain('    at ');
    expect(code).toBe(64);
  });

  test.each<[string[], string]>([
    [
      ['Application.Read.All'],
      'Application.ReadWrite.OwnedBy, to create and change applications\n  AppRoleAssignment.ReadWrite.All, to grant app roles',
    ],
    [
      ['Application.Read.All', 'Application.ReadWrite.OwnedBy'],
      'AppRoleAssignment.ReadWrite.All, to grant app roles',
    ],
    [[], 'Application.Read.All, to read applications and grants'],
  ])(
    'with %s alone, the permissions that lack are named before anything is changed',
    async (permissions, sentence) => {
      await entra.close();
      entra = await startLocalEntra({ seed: seedWith(...permissions) });
      await writeFile(join(folder, 'ca.pem'), entra.ca);
      const { code, stderr } = await provision('apply');
      expect(stderr).toContain(sentence);
      expect(code).toBe(1);
      expect(entra.requests.list().filter(({ path }) => path.startsWith('/v1.0'))).toEqual([]);
    },
  );

  test('a host that is not there: a sentence', async () => {
    const { code, stderr } = await provision('plan', ['--authority', 'https://localhost:1']);
    expect(stderr).toMatch(/identity provider cannot be reached/);
    expect(stderr).not.toContain('    at ');
    expect(code).toBe(1);
  });

  test('plan --az: a shell runs nothing but az, whatever file and tenant say', async () => {
    await provision('apply');
    const { id } = await found('records-api');
    await graph('PATCH', `applications/${id}`, { identifierUris: ['api://kept'], displayName: '$(oops)' });
    const hostile = yaml()
      .replace('uniqueName: caller-api', `uniqueName: "c'$(oops)"\n    displayName: "x\\noops"`)
      .replaceAll('write_as_application_API1', '"r`oops`\'$(oops)"')
      .replace('appRoles:', 'identifierUris: ["api://{appId}", "api://{appId}/`oops`"]\n    appRoles:');
    const { stdout } = await provision('plan', ['--az'], hostile);
    await writeFile(
      join(folder, 'az'),
      `#!/bin/sh\nfor each; do printf '%s\\n' "$each"; done >> "$LOG"\necho 'id'\n`,
    );
    await chmod(join(folder, 'az'), 0o755);
    const log = join(folder, 'az.log');
    await promisify(execFile)('sh', ['-euc', stdout], {
      cwd: folder,
      env: { PATH: `${folder}:${process.env['PATH']}`, LOG: log },
    });
    const words = (await readFile(log, 'utf8')).split('\n');
    expect(words).toEqual(
      expect.arrayContaining([
        'api://kept',
        'api://id/`oops`',
        `${entra.origin}/v1.0/applications(uniqueName='c''%24(oops)')`,
        'appRoles[?value==`"r\\`oops\\`\'$(oops)"`].id | [0]',
        'id=Role',
        '{"principalId":"id","resourceId":"id","appRoleId":"id"}',
      ]),
    );
    expect(await readFile(secretFile(), 'utf8')).toBe('id\n');
  });
});
