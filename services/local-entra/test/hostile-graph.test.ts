import { X509Certificate } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { startLocalEntra, type LocalEntra } from '@countersign/local-entra';
import { createDirectory } from '../src/directory/directory.ts';
import { createStateSaver, readStateFile } from '../src/directory/state-file.ts';
import { graphApplication } from '../src/graph/graph-registration.ts';
import { makeAssertion, makeCertificate, type CertifiedKey } from './assertion.ts';
import { postForm, send, type Answer } from './https-client.ts';

const id = (n: number): string => `fafa0000-0000-4000-8000-00000000000${n}`;
const [tenantA, tenantB, adminA, adminB, ownerB] = [id(1), id(2), id(3), id(4), id(5)] as const;
const victimUri = 'api://victim';

let folder: string;
let entra: LocalEntra;
let tokens: { a: string; b: string; ownerB: string };

const seedApplication = (name: string, appId: string, ...roles: string[]) => ({
  name,
  appId,
  generatedSecret: true,
  grantedRoles: roles.map((role) => ({ resource: 'microsoft-graph', role })),
});
const seed = {
  tenants: [
    {
      id: tenantA,
      displayName: 'A',
      applications: [
        seedApplication('admin-a', adminA, 'Application.ReadWrite.All', 'AppRoleAssignment.ReadWrite.All'),
      ],
    },
    {
      id: tenantB,
      displayName: 'B',
      applications: [
        seedApplication('admin-b', adminB, 'Application.ReadWrite.All', 'AppRoleAssignment.ReadWrite.All'),
        seedApplication('owner-b', ownerB, 'Application.ReadWrite.OwnedBy'),
        { name: 'victim', identifierUris: [victimUri], requestedAccessTokenVersion: 2 as const },
      ],
    },
  ],
};

const tokenFor = (tenant: string, clientId: string, secret: string, resource: string): Promise<Answer> =>
  postForm(entra, `/${tenant}/oauth2/v2.0/token`, {
    grant_type: 'client_credentials',
    client_id: clientId,
    client_secret: secret,
    scope: `${resource}/.default`,
  });

const graphToken = async (tenant: string, name: string, clientId: string): Promise<string> => {
  const resource = 'https://graph.microsoft.com';
  const { body } = await tokenFor(tenant, clientId, entra.secrets[name] ?? '', resource);
  return String(body['access_token']);
};

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'local-entra-'));
  entra = await startLocalEntra({ seed, stateFile: join(folder, 'state.json') });
  tokens = {
    a: await graphToken(tenantA, 'admin-a', adminA),
    b: await graphToken(tenantB, 'admin-b', adminB),
    ownerB: await graphToken(tenantB, 'owner-b', ownerB),
  };
});
afterAll(async () => {
  await entra.close();
  await rm(folder, { recursive: true });
});

const sendText = (token: string, method: string, path: string, body?: string, prefer?: string) =>
  send(
    entra,
    `/v1.0/${path}`,
    {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        'content-type': 'application/json',
        ...(prefer !== undefined && { prefer }),
      },
    },
    body,
  );
const call = (token: string, method: string, path: string, body?: object, prefer?: string) =>
  sendText(token, method, path, body && JSON.stringify(body), prefer);

const addApplication = async (token: string, body: object = {}): Promise<Record<string, unknown>> => {
  const answer = await call(token, 'POST', 'applications', { displayName: 'new', ...body });
  expect(answer.status).toBe(201);
  return answer.body;
};

/** The certificate, with the first bytes that are as given replaced. */
const changed = ({ certificate }: CertifiedKey, from: Buffer, to: Buffer): string => {
  const der = Buffer.from(new X509Certificate(certificate).raw);
  to.copy(der, der.indexOf(from));
  return der.toString('base64');
};
const utcTime = Buffer.from([0x17, 0x0d]);
const rsaOid = Buffer.from('2a864886f70d010101', 'hex');

describe('certificates that cannot be used', () => {
  test.each([
    ['a validity that is no time', utcTime, Buffer.concat([utcTime, Buffer.from('999999999999Z')])],
    ['an end before its start', utcTime, Buffer.concat([utcTime, Buffer.from('490101000000Z')])],
    ['a key of an unknown kind', rsaOid, Buffer.from('2a864886f70d010163', 'hex')],
  ])('%s: refused, and nothing is changed', async (_, from, to) => {
    const key = changed(await makeCertificate(), from, to);
    const application = await addApplication(tokens.a);
    const path = `applications/${String(application['id'])}`;
    const keyCredentials = [{ type: 'AsymmetricX509Cert', usage: 'Verify', key }];
    expect((await call(tokens.a, 'PATCH', path, { keyCredentials })).status).toBe(400);
    expect((await call(tokens.a, 'GET', 'applications')).status).toBe(200);
    expect((await call(tokens.a, 'GET', path)).body['keyCredentials']).toEqual([]);
    await expect(
      startLocalEntra({
        seed: {
          tenants: [
            {
              id: tenantA,
              displayName: 'A',
              applications: [{ name: 'app', certificates: [{ pem: pemOf(key) }] }],
            },
          ],
        },
      }),
    ).rejects.toThrow(/certificate/);
  });

  test('one that is good still is', async () => {
    const pair = await makeCertificate();
    const application = await addApplication(tokens.a);
    const key = new X509Certificate(pair.certificate).raw.toString('base64');
    const keyCredentials = [{ type: 'AsymmetricX509Cert', usage: 'Verify', key }];
    const path = `applications/${String(application['id'])}`;
    expect((await call(tokens.a, 'PATCH', path, { keyCredentials })).status).toBe(204);
    const appId = String(application['appId']);
    await call(tokens.a, 'POST', 'servicePrincipals', { appId });
    const audience = `${entra.origin}/${tenantA}/oauth2/v2.0/token`;
    const assertion = makeAssertion(pair, { clientId: appId, audience });
    const answer = await postForm(entra, `/${tenantA}/oauth2/v2.0/token`, {
      grant_type: 'client_credentials',
      client_id: appId,
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      client_assertion: assertion,
      scope: 'https://graph.microsoft.com/.default',
    });
    expect(answer.status).toBe(200);
  });
});

const pemOf = (key: string): string =>
  `-----BEGIN CERTIFICATE-----\n${key.replaceAll(/.{64}/g, '$&\n')}\n-----END CERTIFICATE-----\n`;

describe('JSON that is deep', () => {
  test.each([33, 60_000])('%i levels are refused', async (levels) => {
    const info = `${'['.repeat(levels - 1)}${']'.repeat(levels - 1)}`;
    const answer = await sendText(tokens.a, 'POST', 'applications', `{"displayName":"deep","info":${info}}`);
    expect(answer.status).toBe(400);
    await addApplication(tokens.a);
  });

  test('32 levels are not, nor brackets in a text', async () => {
    const info: unknown = JSON.parse(`${'['.repeat(31)}${']'.repeat(31)}`);
    const kept = await addApplication(tokens.a, { info, notes: `\\"${'['.repeat(100)}` });
    expect(kept['notes']).toMatch(/\[{100}$/);
  });
});

describe("another tenant's App ID URI", () => {
  const foreign = { signInAudience: 'AzureADMultipleOrgs', api: { requestedAccessTokenVersion: 2 } };

  test('cannot be taken by an application that is installed there', async () => {
    const { id: objectId, appId } = await addApplication(tokens.a, foreign);
    expect((await call(tokens.b, 'POST', 'servicePrincipals', { appId })).status).toBe(201);
    const path = `applications/${String(objectId)}`;
    expect((await call(tokens.a, 'PATCH', path, { identifierUris: [victimUri] })).status).toBe(400);
    expect((await call(tokens.a, 'PATCH', path, { identifierUris: [`${victimUri}/`] })).status).toBe(400);
    const { status, body } = await tokenFor(tenantB, adminB, entra.secrets['admin-b'] ?? '', victimUri);
    expect(status).toBe(200);
    const { decodeJwt } = await import('jose');
    expect(decodeJwt(String(body['access_token'])).aud).not.toBe(appId);
  });

  test('keeps an application that has it from being installed there', async () => {
    const { appId, id: objectId } = await addApplication(tokens.a, {
      ...foreign,
      identifierUris: [victimUri],
    });
    const answer = await call(tokens.b, 'POST', 'servicePrincipals', { appId });
    expect(answer.status).toBe(409);
    expect((await call(tokens.a, 'DELETE', `applications/${String(objectId)}`)).status).toBe(204);
    const { status } = await tokenFor(tenantB, adminB, entra.secrets['admin-b'] ?? '', victimUri);
    expect(status).toBe(200);
  });

  test('once it is for one tenant only, an application is nothing to the others', async () => {
    const uri = 'api://once-for-all';
    const { appId, id: objectId } = await addApplication(tokens.a, { ...foreign, identifierUris: [uri] });
    expect((await call(tokens.b, 'POST', 'servicePrincipals', { appId })).status).toBe(201);
    const path = `applications/${String(objectId)}`;
    const secret = String((await call(tokens.a, 'POST', `${path}/addPassword`, {})).body['secretText']);
    const adminSecret = entra.secrets['admin-b'] ?? '';
    expect((await tokenFor(tenantB, String(appId), secret, uri)).status).toBe(200);
    expect((await tokenFor(tenantB, adminB, adminSecret, uri)).status).toBe(200);
    expect((await call(tokens.a, 'PATCH', path, { signInAudience: 'AzureADMyOrg' })).status).toBe(204);
    const asClient = await tokenFor(tenantB, String(appId), secret, victimUri);
    expect(asClient.body['error_codes']).toEqual([700016]);
    expect((await tokenFor(tenantB, adminB, adminSecret, uri)).body['error_codes']).toEqual([500011]);
  });
});

describe("Graph's own names", () => {
  test.each([
    () => 'https://graph.microsoft.com/',
    () => 'https://graph.microsoft.com//',
    () => entra.origin,
    () => `${entra.origin}/`,
  ])('cannot be taken', async (uri) => {
    const body = { displayName: 'x', identifierUris: [uri()], api: { requestedAccessTokenVersion: 2 } };
    expect((await call(tokens.ownerB, 'POST', 'applications', body)).status).toBe(400);
  });

  test('nor does a slash make an URI another one', async () => {
    const api = { requestedAccessTokenVersion: 2 };
    await addApplication(tokens.b, { identifierUris: ['api://one'], api });
    const body = { displayName: 'x', identifierUris: ['api://one/'], api };
    expect((await call(tokens.b, 'POST', 'applications', body)).status).toBe(400);
  });

  test('roles that a token claims and nobody granted are worth nothing', async () => {
    const forged = await entra.forge({
      tenant: tenantB,
      client: ownerB,
      roles: ['Application.ReadWrite.All'],
    });
    expect((await call(forged, 'GET', 'applications')).status).toBe(403);
    const empty = await entra.forge({ tenant: tenantB, client: adminB, roles: [] });
    expect((await call(empty, 'GET', 'applications')).status).toBe(403);
  });
});

describe('names in the path', () => {
  const prefer = 'create-if-missing';

  test('of an application follow the rules of the body', async () => {
    const body = { displayName: 'x' };
    const path = `applications(uniqueName='${'x'.repeat(129)}')`;
    expect((await call(tokens.a, 'PATCH', path, body, prefer)).status).toBe(400);
    const good = "applications(uniqueName='good')";
    expect((await call(tokens.a, 'PATCH', good, { ...body, uniqueName: 'bad' }, prefer)).status).toBe(400);
    expect((await call(tokens.a, 'PATCH', good, body, prefer)).body['uniqueName']).toBe('good');
  });

  test('of a federated credential, too', async () => {
    const { id: objectId } = await addApplication(tokens.a);
    const at = (name: string): string =>
      `applications/${String(objectId)}/federatedIdentityCredentials(name='${name}')`;
    const body = { issuer: 'https://issuer.test', subject: 's', audiences: ['a'] };
    expect((await call(tokens.a, 'PATCH', at('no%20name'), body, prefer)).status).toBe(400);
    expect((await call(tokens.a, 'PATCH', at('x'), { ...body, name: 'y' }, prefer)).status).toBe(400);
    for (const issuer of ['issuer', 'file:///etc/passwd', 'javascript:1']) {
      expect((await call(tokens.a, 'PATCH', at('x'), { ...body, issuer }, prefer)).status).toBe(400);
    }
    expect((await call(tokens.a, 'PATCH', at('x'), body, prefer)).status).toBe(201);
  });
});

test('what came of all this can be loaded again', async () => {
  expect(await readStateFile(join(folder, 'state.json'))).toBeDefined();
});

test('what could not be loaded again is never kept', async () => {
  const directory = createDirectory();
  directory.addTenant({ id: tenantA, displayName: 'A', domains: [] });
  const path = join(folder, 'kept.json');
  const save = createStateSaver(path, directory);
  await save();
  directory.addApplication({ ...graphApplication(), tenantId: tenantA, createdMs: Number.NaN });
  await expect((async () => save())()).rejects.toThrow(/createdMs/);
  expect(await readStateFile(path)).toMatchObject({ applications: [] });
});
