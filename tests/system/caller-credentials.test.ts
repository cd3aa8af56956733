/** caller-api without a client secret: it proves who it is to local-entra by the two credentials that stand in files besides. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { localApplications } from '@countersign/cli';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { mint, startTestIssuer, type TestIssuer } from '../../packages/shared-auth/test/test-issuer.ts';
import { createClientCertificate } from './client-certificate.ts';
import { startTestSystem } from './test-system.ts';

const subject = 'system:serviceaccount:countersign:caller-api';

let cluster: TestIssuer;
let folder: string;
let entraSettings: Record<string, string>;

const write = async (name: string, content: string): Promise<string> => {
  const file = join(folder, name);
  await writeFile(file, content);
  return file;
};

const projectedToken = (sub: string): string =>
  mint(cluster, Date.now(), { aud: 'api://AzureADTokenExchange', sub });

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'countersign-'));
  cluster = await startTestIssuer();
  const [registered, other] = [await createClientCertificate(), await createClientCertificate()];
  const packaged = new URL('../../services/local-entra/seed.yaml', import.meta.url);
  const seed = parse(await readFile(packaged, 'utf8')) as { tenants: { applications: object[] }[] };
  const caller = seed.tenants[0]?.applications.find(
    (application) => 'appId' in application && application.appId === localApplications.api2,
  ) as object;
  Object.assign(caller, {
    certificates: [{ pem: registered.certificate }],
    federatedCredentials: [{ name: 'aks', issuer: cluster.issuer, subject }],
  });
  entraSettings = {
    SEED_FILE: await write('seed.yaml', JSON.stringify(seed)),
    FEDERATION_CA_FILE: await write('cluster-ca.pem', cluster.ca),
  };
  await write('registered.pem', registered.file);
  await write('other.pem', other.file);
  await write('token', projectedToken(subject));
  await write('other-token', projectedToken('system:serviceaccount:countersign:other'));
});

afterAll(async () => {
  await cluster?.close();
  await rm(folder, { recursive: true });
});

test.each([
  ['AZURE_CLIENT_CERTIFICATE_PATH', 'registered.pem', 200, { id: 1, name: 'Record 1' }],
  ['AZURE_CLIENT_CERTIFICATE_PATH', 'other.pem', 503, { code: 'identity_unavailable' }],
  ['AZURE_FEDERATED_TOKEN_FILE', 'token', 200, { id: 1, name: 'Record 1' }],
  ['AZURE_FEDERATED_TOKEN_FILE', 'other-token', 503, { code: 'identity_unavailable' }],
])('%s with %s: %i', async (setting, file, status, body) => {
  await using system = await startTestSystem({
    settings: {
      'local-entra': entraSettings,
      'caller-api': { AZURE_CLIENT_SECRET_FILE: '', [setting]: join(folder, file) },
    },
  });
  const response = await system.fetch(`${system.gatewayUrl}/caller/records/1`);
  expect(response.status).toBe(status);
  expect(await response.json()).toMatchObject(body);
});
