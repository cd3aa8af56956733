import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from '@jest/globals';
import { type LocalEntra, startLocalEntra } from '@countersign/local-entra';
import { createEntraNetwork, createTokenSource } from '@countersign/shared-auth';
import { Agent, type Dispatcher, fetch } from 'undici';
import { localTenantId } from '../../src/local-system.ts';
import { parseProvisionFile } from '../../src/provision/provision-file.ts';
import { createProvisioner, type Provisioner } from '../../src/provision/provisioner.ts';
import { type Ran, runCommand } from '../run-command.ts';

/** A tenant of its own, and a folder with the file that says what is to be in it. */
export interface TestTenant {
  entra: LocalEntra;
  folder: string;
  /** Trusts the tenant's certificate. */
  agent: Agent;
  /** Where the secret of api2 is kept. */
  secretFile: string;
  /** What the file says, unless a test says otherwise. */
  yaml: string;
  /** What the command needs to sign in. */
  env: Record<string, string>;
  /** Runs `countersign provision`. @param content the file's: `yaml` unless given. */
  provision: (command: string, options?: string[], content?: string) => Promise<Ran>;
  /** What `createProvisioner` is given by the command, on a clock of its own, which `pause` moves. */
  open: (dispatcher: Agent, pause: (ms: number) => Promise<void>, laterMs?: number) => Promise<Provisioner>;
  tokenOf: (clientId: string, clientSecret: string, scope: string) => Promise<string>;
  /** Somebody at the portal. */
  graph: (method: string, path: string, body?: unknown) => Promise<unknown>;
  found: (uniqueName: string) => Promise<Shown['value'][number]>;
  /** Everything of the two applications, without what is different each time. */
  stateOf: () => Promise<unknown>;
  [Symbol.asyncDispose]: () => Promise<void>;
}

export interface Shown {
  value: { id: string; appId: string; uniqueName: string; [name: string]: unknown }[];
}

const provisionerId = 'a91000ff-0000-4000-8000-0000000000ff';
/** Nothing but who may set up the rest. */
const seedWith = (permissions: readonly string[]) => ({
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

/** Starts a tenant with nothing in it but a provisioner. @param permissions the provisioner's: the least that suffice unless given. */
export const startTestTenant = async (permissions: readonly string[] = least): Promise<TestTenant> => {
  const entra = await startLocalEntra({ seed: seedWith(permissions) });
  const folder = await mkdtemp(join(tmpdir(), 'provision-'));
  await writeFile(join(folder, 'ca.pem'), entra.ca);
  const agent = new Agent({ connect: { ca: entra.ca } });

  const secretFile = join(folder, 'api2.secret');
  const yaml = `
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
    secret: { writeTo: { file: ${JSON.stringify(secretFile)} } }
    federated:
      - { name: aks, kubernetes: { issuer: 'https://cluster.example/', namespace: shop, serviceAccount: caller } }
      - { name: github, github: { repository: acme/shop, environment: production } }
outputs:
  - file: ${JSON.stringify(join(folder, '.env'))}
    values: { API_CLIENT_ID: '{api1.appId}', AZURE_CLIENT_ID: '{api2.appId}', ENDS: '{api2.secretEnds}' }
`;

  const provisionerSecret = entra.secrets['provisioner'] as string;
  const env = {
    AZURE_AUTHORITY_HOST: entra.origin,
    AZURE_TENANT_ID: localTenantId,
    AZURE_CLIENT_ID: provisionerId,
    AZURE_CLIENT_SECRET: provisionerSecret,
    CA_FILE: join(folder, 'ca.pem'),
  };

  const provision: TestTenant['provision'] = async (command, options = [], content = yaml) => {
    await writeFile(join(folder, 'p.yaml'), content);
    return runCommand(['provision', command, '-f', join(folder, 'p.yaml'), ...options], { env });
  };

  const tokenOf: TestTenant['tokenOf'] = async (clientId, clientSecret, scope) => {
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
    tokenOf(provisionerId, provisionerSecret, 'https://graph.microsoft.com/.default');

  const graph: TestTenant['graph'] = async (method, path, body) => {
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

  const found: TestTenant['found'] = async (uniqueName) =>
    (await graph('GET', `applications(uniqueName='${uniqueName}')`)) as Shown['value'][number];

  const stateOf: TestTenant['stateOf'] = async () => {
    const [api1, api2] = [await found('records-api'), await found('caller-api')];
    const principal = (await graph('GET', `servicePrincipals(appId='${api1.appId}')`)) as { id: string };
    const grants = (await graph('GET', `servicePrincipals/${principal.id}/appRoleAssignedTo`)) as Shown;
    const federated = (await graph('GET', `applications/${api2.id}/federatedIdentityCredentials`)) as Shown;
    const secret = await readFile(secretFile, 'utf8');
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

  const open: TestTenant['open'] = async (dispatcher, pause, laterMs = 0) => {
    let shiftMs = laterMs;
    entra.shiftClock(shiftMs / 1000);
    return createProvisioner({
      file: parseProvisionFile(yaml, 'p.yaml'),
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

  return {
    entra,
    folder,
    agent,
    secretFile,
    yaml,
    env,
    provision,
    open,
    tokenOf,
    graph,
    found,
    stateOf,
    [Symbol.asyncDispose]: async () => {
      await agent.close();
      await entra.close();
      await rm(folder, { recursive: true });
    },
  };
};

/** What `stateOf` answers once `yaml` is carried out. */
export const wantedState = {
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

export const applyAll = async (provisioner: Provisioner): Promise<void> => {
  for (let round = 0; round < 4; round += 1)
    await provisioner.carryOut((await provisioner.plan()).changes, () => {});
};

/** Sends a request, and loses its answer. */
export const withoutAnswer: Dispatcher.DispatcherComposeInterceptor = (dispatch) => (options, handler) =>
  dispatch(options, {
    onRequestStart: (controller, context) => handler.onRequestStart?.(controller, context),
    onResponseStart: (controller) => controller.abort(new Error('killed')),
    onResponseData: () => {},
    onResponseEnd: () => {},
    onResponseError: (controller, error) => handler.onResponseError?.(controller, error),
  });
