import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  diagnose,
  localApplications,
  localTenantId,
  startService,
  type ServiceProcess,
  type Target,
} from '@countersign/cli';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { issueSigningCertificate } from '../../services/local-entra/src/certificates/issue-certificate.ts';
import { startTestSystem, type TestSystem } from './test-system.ts';

const ids = {
  strict: 'b0000001-0000-4000-8000-000000000001',
  versionOne: 'b0000002-0000-4000-8000-000000000002',
  expired: 'b0000003-0000-4000-8000-000000000003',
  disabled: 'b0000004-0000-4000-8000-000000000004',
  federated: 'b0000005-0000-4000-8000-000000000005',
  nowhere: 'b00000ff-0000-4000-8000-0000000000ff',
};
const federation = { issuer: 'https://cluster.example/', subject: 'system:serviceaccount:shop:caller' };

const seed = async (): Promise<string> => {
  const packaged = await readFile(new URL('../../services/local-entra/seed.yaml', import.meta.url), 'utf8');
  return `${packaged}
      - { name: strict, appId: ${ids.strict}, identifierUris: ['api://${ids.strict}'], requestedAccessTokenVersion: 2, appRoleAssignmentRequired: true }
      - name: version-one
        appId: ${ids.versionOne}
        identifierUris: ['api://${ids.versionOne}']
        appRoles: [{ value: access_as_application_API1 }]
      - name: expired
        appId: ${ids.expired}
        secrets: [{ value: a-secret-that-was-good, startDateTime: 2020-01-01T00:00:00Z, endDateTime: 2021-01-01T00:00:00Z }]
      - { name: disabled, appId: ${ids.disabled}, accountEnabled: false, generatedSecret: true }
      - name: federated
        appId: ${ids.federated}
        federatedCredentials: [{ name: aks, issuer: '${federation.issuer}', subject: '${federation.subject}' }]
`;
};

let system: TestSystem;
let folder = '';
let adminUrl = '';
let good: Target;
const services: ServiceProcess[] = [];
const servers: Server[] = [];

const listening = async (server: Server): Promise<string> => {
  servers.push(server);
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
};

/** A port that nobody listens on. */
const closedPort = async (): Promise<number> => {
  const server = createServer();
  const address = await listening(server);
  await new Promise((resolve) => {
    server.close(resolve);
  });
  return Number(address.split(':')[1]);
};

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'doctor-'));
  await writeFile(join(folder, 'seed.yaml'), await seed());
  system = await startTestSystem({
    settings: { 'local-entra': { SEED_FILE: join(folder, 'seed.yaml'), ADMIN_PORT: '0' } },
  });
  adminUrl = String(
    system.lines.find(({ record }) => record?.['port_name'] === 'admin')?.record?.['address'],
  );
  good = {
    source: 'this test',
    isLocal: false,
    authorityHost: system.entraOrigin,
    tenantId: localTenantId,
    clientId: localApplications.api2,
    credential: [{ clientSecretFile: join(system.secretsFolder, 'api2') }],
    apiClientId: localApplications.api1,
    scope: `api://${localApplications.api1}/.default`,
    role: 'access_as_application_API1',
    takesV1: false,
    ca: await readFile(system.caFile, 'utf8'),
    gatewayUrl: system.gatewayUrl,
    recordsApiUrl: system.recordsApiUrl,
    redisUrl: undefined,
    secretEndsAt: undefined,
  };
});
afterAll(async () => {
  await Promise.all(services.map((service) => service.stop()));
  for (const server of servers) server.close();
  await system?.[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

const weather = async (method: string, path: string, body?: object): Promise<void> => {
  const response = await fetch(`${adminUrl}${path}`, {
    method,
    headers: { 'content-type': 'application/json' },
    ...(body && { body: JSON.stringify(body) }),
  });
  if (!response.ok) throw new Error(await response.text());
};

const file = async (name: string, content: string): Promise<string> => {
  const path = join(folder, name);
  await writeFile(path, content);
  return path;
};

const jwt = (claims: object): string => {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part({ alg: 'RS256', kid: 'k', typ: 'JWT' })}.${part(claims)}.${Buffer.from('signature').toString('base64url')}`;
};
const later = Math.floor(Date.now() / 1000) + 3600;
const federated = async (claims: object): Promise<Partial<Target>> => ({
  clientId: ids.federated,
  credential: [
    {
      federatedTokenFile: await file(
        'federated-token',
        jwt({
          iss: federation.issuer,
          sub: federation.subject,
          aud: 'api://AzureADTokenExchange',
          exp: later,
          iat: later - 7200,
          nbf: later - 7200,
          ...claims,
        }),
      ),
    },
  ],
});

const start = async (workspace: string, env: Record<string, string>): Promise<ServiceProcess> => {
  const main = fileURLToPath(new URL(`../../${workspace}/src/main.ts`, import.meta.url));
  const service = await startService({
    name: workspace,
    main,
    env: { PATH: process.env['PATH'] ?? '', PORT: '0', ...env },
  });
  services.push(service);
  return service;
};
const identity = () => ({
  AZURE_AUTHORITY_HOST: system.entraOrigin,
  AZURE_TENANT_ID: localTenantId,
  CA_FILE: system.caFile,
});
const gatewayWith = async (upstreams: string, routes?: string): Promise<Partial<Target>> => {
  const { port } = await start('gateway', {
    ...identity(),
    APIS: `records-api=${localApplications.api1}`,
    UPSTREAMS: upstreams,
    ...(routes && { ROUTES_FILE: await file('routes.yaml', routes) }),
  });
  return { gatewayUrl: `http://localhost:${port}` };
};

type Inject = () => Partial<Target> | Promise<Partial<Target>>;

/** What is broken · the step that has to be named first · what has to be said. */
const faults: readonly [string, string, RegExp, Inject][] = [
  ['no authority', 'settings', /AZURE_AUTHORITY_HOST is not set/, () => ({ authorityHost: undefined })],
  ['authority without https', 'settings', /no https: origin/, () => ({ authorityHost: 'http://localhost' })],
  ['tenant "common"', 'settings', /no GUID: common/, () => ({ tenantId: 'common' })],
  ['scope without .default', 'settings', /end the scope in/, () => ({ scope: 'api://x' })],
  [
    'host that does not exist',
    'dns',
    /nowhere\.invalid has no address/,
    () => ({ authorityHost: 'https://nowhere.invalid' }),
  ],
  [
    'nothing at the port',
    'tcp',
    /ECONNREFUSED/,
    async () => ({ authorityHost: `https://localhost:${await closedPort()}` }),
  ],
  [
    'plain http behind https',
    'tls',
    /No TLS with/,
    async () => ({ authorityHost: `https://${await listening(createServer())}` }),
  ],
  ['unknown CA', 'tls', /Set CA_FILE/, () => ({ ca: undefined })],
  ['wrong tenant', 'discovery', /no tenant b00000ff.*AADSTS90002/, () => ({ tenantId: ids.nowhere })],
  [
    'discovery down',
    'discovery',
    /answers 503/,
    async () => {
      await weather('POST', '/faults', { endpoint: 'discovery', status: 503 });
      return {};
    },
  ],
  [
    'a proxy that answers in its place',
    'discovery',
    /no JSON/,
    async () => {
      await weather('POST', '/faults', { endpoint: 'discovery', status: 407, body: 'html' });
      return {};
    },
  ],
  [
    'another name of the authority',
    'discovery',
    /The issuer is https:\/\/localhost/,
    () => ({ authorityHost: system.entraOrigin.replace('localhost', '127.0.0.1') }),
  ],
  [
    'clock ten minutes behind',
    'clock',
    /(?:59|60)\d s behind.*Synchronise/,
    async () => {
      await weather('PUT', '/clock', { shiftSeconds: 600 });
      return {};
    },
  ],
  [
    'clock ten minutes ahead',
    'clock',
    /ahead of the authority/,
    async () => {
      await weather('PUT', '/clock', { shiftSeconds: -600 });
      return {};
    },
  ],
  [
    'keys down',
    'keys',
    /keys cannot be had/,
    async () => {
      await weather('POST', '/faults', { endpoint: 'keys', status: 503 });
      return {};
    },
  ],
  ['no credential', 'credential', /No credential is set/, () => ({ credential: [] })],
  [
    'secret file missing',
    'credential',
    /ENOENT/,
    () => ({ credential: [{ clientSecretFile: '/nowhere/secret' }] }),
  ],
  [
    'secret file empty',
    'credential',
    /is empty/,
    async () => ({ credential: [{ clientSecretFile: await file('empty', '\n') }] }),
  ],
  [
    'the id of the secret in its place',
    'credential',
    /is a GUID/,
    () => ({ credential: [{ clientSecret: ids.nowhere }] }),
  ],
  [
    'secret that has ended',
    'credential',
    /has expired \d+ days ago/,
    () => ({ secretEndsAt: '2021-01-01T00:00:00Z' }),
  ],
  [
    'certificate without its key',
    'credential',
    /cannot be used|belongs to/,
    async () => ({
      credential: [
        { certificateFile: await file('cert.pem', (await issueSigningCertificate(Date.now())).certificate) },
      ],
    }),
  ],
  ['federated token that has ended', 'credential', /has expired/, () => federated({ exp: 1_600_000_000 })],
  [
    'wrong secret',
    'token',
    /AADSTS7000215.*rotate-secret/s,
    () => ({ credential: [{ clientSecret: 'not-the-secret' }] }),
  ],
  [
    'expired secret',
    'token',
    /AADSTS7000222/,
    () => ({ clientId: ids.expired, credential: [{ clientSecret: 'a-secret-that-was-good' }] }),
  ],
  ['unknown client', 'token', /AADSTS700016.*AZURE_CLIENT_ID/s, () => ({ clientId: ids.nowhere })],
  [
    'disabled client',
    'token',
    /AADSTS7000112/,
    () => ({
      clientId: ids.disabled,
      credential: [{ clientSecretFile: join(system.secretsFolder, 'disabled') }],
    }),
  ],
  ['unknown API', 'token', /AADSTS500011/, () => ({ scope: `api://${ids.nowhere}/.default` })],
  [
    'no consent where assignment is required',
    'token',
    /AADSTS501051.*admin consent/s,
    () => ({ scope: `api://${ids.strict}/.default`, apiClientId: ids.strict }),
  ],
  [
    'certificate that is not registered',
    'token',
    /AADSTS700027/,
    async () => {
      const { key, certificate } = await issueSigningCertificate(Date.now());
      return { credential: [{ certificateFile: await file('pair.pem', `${key}\n${certificate}`) }] };
    },
  ],
  [
    'federated subject',
    'token',
    /AADSTS700213.*letter by letter/s,
    () => federated({ sub: 'system:serviceaccount:shop:other' }),
  ],
  [
    'federated issuer without its slash',
    'token',
    /AADSTS700211/,
    () => federated({ iss: 'https://cluster.example' }),
  ],
  ['federated audience', 'token', /AADSTS700212/, () => federated({ aud: 'api://other' })],
  [
    'token endpoint throttles',
    'token',
    /asks to be left alone/,
    async () => {
      await weather('POST', '/faults', { endpoint: 'token', status: 429, retryAfterSeconds: 7 });
      return {};
    },
  ],
  [
    'token endpoint down',
    'token',
    /does not answer|in trouble/,
    async () => {
      await weather('POST', '/faults', { endpoint: 'token', disconnect: true });
      return {};
    },
  ],
  [
    'v1 token',
    'policy',
    /requestedAccessTokenVersion to 2/,
    () => ({ scope: `api://${ids.versionOne}/.default`, apiClientId: ids.versionOne }),
  ],
  ['another audience', 'policy', /two different APIs/, () => ({ apiClientId: localApplications.api3 })],
  [
    'role missing',
    'policy',
    /Grant the app role/,
    () => ({
      clientId: localApplications.api3,
      credential: [{ clientSecretFile: join(system.secretsFolder, 'api3') }],
    }),
  ],
  [
    'records-api down',
    'records-api',
    /ECONNREFUSED/,
    async () => ({ recordsApiUrl: `http://127.0.0.1:${await closedPort()}` }),
  ],
  [
    'records-api of another API',
    'direct',
    /401 invalid_token.*API_CLIENT_ID/s,
    async () => {
      const { port } = await start('services/records-api', {
        ...identity(),
        API_CLIENT_ID: localApplications.api3,
        DATA_FOLDER: join(system.dataFolder, 'records-api'),
      });
      return { recordsApiUrl: `http://127.0.0.1:${port}` };
    },
  ],
  [
    'Redis down',
    'redis',
    /Nothing answers at 127\.0\.0\.1:\d+ \(ECONNREFUSED\)/,
    async () => ({ redisUrl: `redis://127.0.0.1:${await closedPort()}` }),
  ],
  [
    'gateway down',
    'gateway',
    /ECONNREFUSED/,
    async () => ({ gatewayUrl: `http://localhost:${await closedPort()}` }),
  ],
  [
    'gateway route missing',
    'through-gateway',
    /404.*no route/s,
    () =>
      gatewayWith(
        'caller-api=http://127.0.0.1:1',
        'upstreams:\n  caller-api: {}\nroutes:\n  - { path: /caller, upstream: caller-api, access: public }\n',
      ),
  ],
  [
    'gateway with nothing behind it',
    'through-gateway',
    /50[23]/,
    async () =>
      gatewayWith(`records-api=http://127.0.0.1:${await closedPort()},caller-api=${system.callerApiUrl}`),
  ],
  [
    'caller-api with a wrong secret',
    'caller-api',
    /503/,
    async () => {
      const { port } = await start('services/caller-api', {
        ...identity(),
        ACCESS_MODE: 'anonymous',
        AZURE_CLIENT_ID: localApplications.api2,
        AZURE_CLIENT_SECRET_FILE: await file('wrong', 'not-the-secret'),
        RECORDS_API_URL: system.recordsApiUrl,
        RECORDS_API_SCOPE: `api://${localApplications.api1}/.default`,
      });
      return gatewayWith(`records-api=${system.recordsApiUrl},caller-api=http://127.0.0.1:${port}`);
    },
  ],
];

test('a healthy system: every step passes', async () => {
  const findings = await diagnose(good);
  expect(findings.filter(({ verdict }) => verdict !== 'passed').map(({ step }) => step)).toEqual(['redis']);
  expect(findings).toHaveLength(16);
});

test.each(faults)('%s: named first', async (_, step, words, inject) => {
  try {
    const findings = await diagnose({ ...good, ...(await inject()) });
    const cause = findings.find(({ verdict }) => verdict === 'failed');
    expect(cause).toMatchObject({ step });
    expect(`${cause?.detail} ${cause?.remedy}`).toMatch(words);
  } finally {
    await weather('DELETE', '/faults');
    await weather('PUT', '/clock', { shiftSeconds: 0 });
  }
});
