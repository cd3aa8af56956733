/** Each credential of shared-auth, judged by local-entra; and its tokens, v1 and v2, judged by shared-auth. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { startLocalEntra, type LocalEntra } from '@countersign/local-entra';
import {
  createEntraNetwork,
  createTokenSource,
  createTokenVerifier,
  type ClientCredential,
  type EntraNetwork,
  type Principal,
} from '@countersign/shared-auth';
import { mint, startTestIssuer, type TestIssuer } from '../../packages/shared-auth/test/test-issuer.ts';
import { createClientCertificate } from './client-certificate.ts';

const tenantId = '10ca10ca-0000-4000-8000-10ca10ca10ca';
const modernApi = 'a9100001-0000-4000-8000-000000000001';
const legacyApi = 'a9100009-0000-4000-8000-000000000009';
const caller = 'a9100002-0000-4000-8000-000000000002';
const machine = 'a9100003-0000-4000-8000-000000000003';
const clientSecret = 'a-secret-that-stands-in-a-test-alone';
const subject = 'system:serviceaccount:countersign:caller-api';

let platform: TestIssuer;
let entra: LocalEntra;
let folder: string;
let network: EntraNetwork;
let registered: string;
let unregistered: string;

const write = async (name: string, content: string): Promise<string> => {
  const path = join(folder, name);
  await writeFile(path, content);
  return path;
};

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'credentials-'));
  platform = await startTestIssuer();
  const [known, other] = [await createClientCertificate(), await createClientCertificate()];
  registered = await write('registered.pem', known.file);
  unregistered = await write('unregistered.pem', other.file);
  const appRoles = [{ value: 'read' }];
  const grantedRoles = [
    { resource: 'modern', role: 'read' },
    { resource: 'legacy', role: 'read' },
  ];
  entra = await startLocalEntra({
    federationCa: [platform.ca],
    managedIdentity: { port: 0 },
    seed: {
      tenants: [
        {
          id: tenantId,
          displayName: 'Credentials',
          applications: [
            {
              name: 'modern',
              appId: modernApi,
              identifierUris: [`api://${modernApi}`],
              requestedAccessTokenVersion: 2,
              appRoles,
            },
            { name: 'legacy', appId: legacyApi, identifierUris: ['https://legacy.example/api'], appRoles },
            {
              name: 'caller',
              appId: caller,
              secrets: [{ value: clientSecret }],
              certificates: [{ pem: known.certificate }],
              federatedCredentials: [{ name: 'aks', issuer: platform.issuer, subject }],
              grantedRoles,
            },
          ],
          managedIdentities: [{ name: 'machine', clientId: machine, grantedRoles }],
        },
      ],
    } as never,
  });
  network = createEntraNetwork({ ca: entra.ca });
  process.env['IDENTITY_ENDPOINT'] = `${entra.managedIdentity?.address}/msi/token`;
  process.env['IDENTITY_HEADER'] = entra.managedIdentity?.identityHeader;
});

afterAll(async () => {
  delete process.env['IDENTITY_ENDPOINT'];
  delete process.env['IDENTITY_HEADER'];
  await entra?.close();
  await platform?.close();
  await rm(folder, { recursive: true });
});

const common = () => ({ authorityHost: entra.origin, tenantId, network });

const callWith = async (credential: ClientCredential | readonly ClientCredential[]): Promise<Principal> => {
  const source = createTokenSource({ ...common(), clientId: caller, credential });
  const { accessToken } = await source.getToken({ scope: `api://${modernApi}/.default` });
  return createTokenVerifier({ ...common(), clientId: modernApi }).verify(accessToken);
};

test('a secret', async () => {
  expect(await callWith({ clientSecret })).toMatchObject({
    applicationId: caller,
    roles: ['read'],
    credential: 'secret',
  });
});

test('a certificate', async () => {
  expect(await callWith({ certificateFile: registered })).toMatchObject({
    applicationId: caller,
    credential: 'certificate',
  });
});

test('a federated token file, as in AKS', async () => {
  const audience = { aud: 'api://AzureADTokenExchange', sub: subject };
  const federatedTokenFile = await write('token', mint(platform, Date.now(), audience));
  expect(await callWith({ federatedTokenFile })).toMatchObject({ applicationId: caller, roles: ['read'] });
});

test('a managed identity', async () => {
  expect(await callWith({ managedIdentity: { clientId: machine } })).toMatchObject({
    applicationId: machine,
    roles: ['read'],
  });
});

test('a certificate that is not registered gives way to the secret after it', async () => {
  const principal = await callWith([{ certificateFile: unregistered }, { clientSecret }]);
  expect(principal.credential).toBe('secret');
});

test('a wrong secret does not', async () => {
  await expect(callWith([{ clientSecret: 'wrong' }, { clientSecret }])).rejects.toMatchObject({
    name: 'TokenAcquisitionError',
    refusal: { aadsts: 7000215 },
  });
});

test('a token of version 1 is taken where it is enabled, whatever its audience looks like', async () => {
  const source = createTokenSource({ ...common(), clientId: caller, credential: { clientSecret } });
  const { accessToken } = await source.getToken({ scope: 'https://legacy.example/api/.default' });
  const api = { ...common(), clientId: legacyApi, appIdUris: ['https://legacy.example/api'] };
  const verifier = createTokenVerifier({ ...api, versions: ['1.0', '2.0'] });
  expect(await verifier.verify(accessToken)).toMatchObject({ applicationId: caller, roles: ['read'] });
  await expect(createTokenVerifier(api).verify(accessToken)).rejects.toMatchObject({ check: 'version' });
});
