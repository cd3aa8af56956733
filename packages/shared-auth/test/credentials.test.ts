import 'reflect-metadata';
import * as x509 from '@peculiar/x509';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import forge from 'node-forge';
import { constants, createHash, verify, X509Certificate } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  azureApplication,
  createEntraNetwork,
  createTokenSource,
  type ClientCredential,
  type TokenSource,
} from '../src/index.ts';
import {
  apiClientId,
  callerClientId,
  clientSecret,
  startTestIssuer,
  tenantId,
  type TestIssuer,
} from './test-issuer.ts';

const scope = `api://${apiClientId}/.default`;
const jwtBearer = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

let issuer: TestIssuer;
let folder: string;
let now: number;

beforeEach(async () => {
  issuer = await startTestIssuer();
  folder = await mkdtemp(join(tmpdir(), 'credentials-'));
  now = Date.now();
  issuer.tokenReply = (form) => {
    const refused = form.get('client_assertion') === 'expired' ? 700024 : undefined;
    if (refused === undefined) {
      return { body: JSON.stringify({ token_type: 'Bearer', expires_in: 3599, access_token: 'token' }) };
    }
    return refusal(refused);
  };
});

afterEach(async () => {
  await issuer.close();
  await rm(folder, { recursive: true });
});

const refusal = (aadsts: number) => ({
  status: 401,
  body: JSON.stringify({
    error: 'invalid_client',
    error_description: `AADSTS${aadsts}: text`,
    error_codes: [aadsts],
  }),
});

const createSource = (credential: ClientCredential | readonly ClientCredential[]): TokenSource =>
  createTokenSource({
    authorityHost: issuer.origin,
    tenantId,
    clientId: callerClientId,
    credential,
    network: createEntraNetwork({ ca: issuer.ca }),
    clock: () => now,
  });

const writeTo = async (name: string, content: string | Buffer): Promise<string> => {
  const path = join(folder, name);
  await writeFile(path, content);
  return path;
};

const lastForm = (): URLSearchParams => issuer.tokenRequests.at(-1)?.form ?? new URLSearchParams();

interface TestCertificate {
  pem: string;
  certificate: X509Certificate;
}

const createCertificate = async (daysFromNow: number): Promise<TestCertificate> => {
  const algorithm = {
    name: 'RSASSA-PKCS1-v1_5',
    hash: 'SHA-256',
    publicExponent: new Uint8Array([1, 0, 1]),
    modulusLength: 2048,
  };
  const keys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const made = await x509.X509CertificateGenerator.createSelfSigned({
    name: 'CN=caller',
    notBefore: new Date(now - 86_400_000),
    notAfter: new Date(now + daysFromNow * 86_400_000),
    signingAlgorithm: algorithm,
    keys,
  });
  const pkcs8 = Buffer.from(await crypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64');
  const lines = pkcs8.replaceAll(/.{64}/g, '$&\n');
  const certificate = new X509Certificate(Buffer.from(made.rawData));
  return {
    pem: `-----BEGIN PRIVATE KEY-----\n${lines}\n-----END PRIVATE KEY-----\n${certificate.toString()}`,
    certificate,
  };
};

const toPfx = ({ pem, certificate }: TestCertificate, password: string): Buffer => {
  const key = forge.pki.privateKeyFromPem(pem.slice(0, pem.indexOf('-----BEGIN CERTIFICATE')));
  const store = forge.pkcs12.toPkcs12Asn1(
    key,
    forge.pki.certificateFromPem(certificate.toString()),
    password,
  );
  return Buffer.from(forge.asn1.toDer(store).getBytes(), 'binary');
};

const isSignedBy = (assertion: string, { certificate }: TestCertificate): boolean => {
  const end = assertion.lastIndexOf('.');
  const key = { key: certificate.publicKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 };
  const signature = Buffer.from(assertion.slice(end + 1), 'base64url');
  return verify('sha256', Buffer.from(assertion.slice(0, end)), key, signature);
};

const part = (assertion: string, index: number): Record<string, unknown> =>
  JSON.parse(Buffer.from(assertion.split('.')[index] ?? '', 'base64url').toString()) as Record<
    string,
    unknown
  >;

describe('a certificate', () => {
  test('signs an assertion as Entra asks for it', async () => {
    const made = await createCertificate(30);
    await createSource({ certificateFile: await writeTo('c.pem', made.pem) }).getToken({ scope });
    const assertion = lastForm().get('client_assertion') ?? '';
    expect(lastForm().get('client_assertion_type')).toBe(jwtBearer);
    expect(lastForm().get('client_secret')).toBeNull();
    const thumbprint = createHash('sha256').update(made.certificate.raw).digest('base64url');
    expect(part(assertion, 0)).toEqual({ alg: 'PS256', typ: 'JWT', 'x5t#S256': thumbprint });
    expect(part(assertion, 1)).toMatchObject({
      aud: `${issuer.origin}/${tenantId}/oauth2/v2.0/token`,
      iss: callerClientId,
      sub: callerClientId,
    });
    expect(isSignedBy(assertion, made)).toBe(true);
  });

  test('in a PFX works the same', async () => {
    const made = await createCertificate(30);
    const certificateFile = await writeTo('c.pfx', toPfx(made, 'pass'));
    await createSource({ certificateFile, certificatePassword: 'pass' }).getToken({ scope });
    expect(isSignedBy(lastForm().get('client_assertion') ?? '', made)).toBe(true);
    const wrong = createSource({ certificateFile, certificatePassword: 'wrong' });
    await expect(wrong.getToken({ scope })).rejects.toMatchObject({
      name: 'TokenAcquisitionError',
      logFields: { error: 'credential_unusable', credential: 'certificateFile' },
    });
  });

  test('is taken up again when its file changes', async () => {
    const [old, young] = [await createCertificate(30), await createCertificate(60)];
    const certificateFile = await writeTo('c.pem', old.pem);
    const source = createSource({ certificateFile });
    await source.getToken({ scope });
    await writeTo('c.pem', young.pem);
    await source.getToken({ scope: 'api://other/.default' });
    expect(isSignedBy(lastForm().get('client_assertion') ?? '', young)).toBe(true);
  });

  test('signs anew after half the life of an assertion', async () => {
    const source = createSource({
      certificateFile: await writeTo('c.pem', (await createCertificate(30)).pem),
    });
    const assertions = [];
    for (const [index, step] of [0, 299_000, 2000].entries()) {
      now += step;
      await source.getToken({ scope: `api://${index}/.default` });
      assertions.push(lastForm().get('client_assertion'));
    }
    expect(assertions[1]).toBe(assertions[0]);
    expect(assertions[2]).not.toBe(assertions[1]);
  });

  test('that has expired is not even tried', async () => {
    const certificateFile = await writeTo('c.pem', (await createCertificate(1)).pem);
    now += 2 * 86_400_000;
    await expect(createSource({ certificateFile }).getToken({ scope })).rejects.toMatchObject({
      logFields: { explanation: expect.stringContaining('has expired: rotate it') },
    });
    expect(issuer.tokenRequests).toHaveLength(0);
  });
});

describe('a federated token file', () => {
  test('is read for every request', async () => {
    const federatedTokenFile = await writeTo('token', 'first\n');
    const source = createSource({ federatedTokenFile });
    await source.getToken({ scope });
    expect(lastForm().get('client_assertion')).toBe('first');
    await writeTo('token', 'second');
    await source.getToken({ scope: 'api://other/.default' });
    expect(lastForm().get('client_assertion')).toBe('second');
    expect(lastForm().get('client_assertion_type')).toBe(jwtBearer);
  });
});

describe('several credentials', () => {
  test('are tried in order when a file is missing or an assertion refused', async () => {
    const source = createSource([
      { clientSecretFile: join(folder, 'missing') },
      { federatedTokenFile: await writeTo('token', 'expired') },
      { clientSecret },
    ]);
    await source.getToken({ scope });
    expect(
      issuer.tokenRequests.map(({ form }) => form.get('client_assertion') ?? form.get('client_secret')),
    ).toEqual(['expired', clientSecret]);
    // The ones that failed are left alone for a while.
    await source.getToken({ scope: 'api://other/.default' });
    expect(issuer.tokenRequests).toHaveLength(3);
    now += 5 * 60_000;
    await source.getToken({ scope: 'api://third/.default' });
    expect(issuer.tokenRequests).toHaveLength(5);
  });

  test.each([7000215, 700016])('AADSTS%i is not a reason to try the next', async (aadsts) => {
    issuer.tokenReply = () => refusal(aadsts);
    const source = createSource([{ clientSecret: 'a' }, { clientSecret: 'b' }]);
    await expect(source.getToken({ scope })).rejects.toMatchObject({ refusal: { aadsts } });
    expect(issuer.tokenRequests).toHaveLength(1);
  });

  test.each([700027, 700024, 7000214, 1000502, 7000274, 7000277])('AADSTS%i is one', async (aadsts) => {
    issuer.tokenReply = () => refusal(aadsts);
    const source = createSource([{ clientSecret: 'a' }, { clientSecret: 'b' }]);
    await expect(source.getToken({ scope })).rejects.toMatchObject({ refusal: { aadsts } });
    expect(issuer.tokenRequests).toHaveLength(2);
  });

  test('an outage is not one', async () => {
    issuer.tokenReply = () => ({ status: 503, body: '' });
    const source = createSource([{ clientSecret: 'a' }, { clientSecret: 'b' }]);
    await expect(source.getToken({ scope })).rejects.toMatchObject({ name: 'IdentityUnavailableError' });
    expect(issuer.tokenRequests).toHaveLength(1);
  });
});

describe('a managed identity', () => {
  let platform: Server;
  let asked: IncomingMessage[];

  // One for all tests: MSAL keeps the address that it has found for the life of the process.
  beforeAll(async () => {
    asked = [];
    platform = createServer((req, res) => {
      asked.push(req);
      const url = new URL(req.url ?? '/', 'http://platform');
      res.writeHead(200, { 'content-type': 'application/json' });
      const expires_on = String(Math.floor(now / 1000) + 86_400);
      const access_token = `token-for-${url.searchParams.get('resource')}`;
      res.end(JSON.stringify({ access_token, expires_on, token_type: 'Bearer' }));
    });
    await new Promise<void>((resolve) => {
      platform.listen(0, '127.0.0.1', resolve);
    });
    // MSAL, and not this library, reads what the platform sets.
    process.env['IDENTITY_ENDPOINT'] =
      `http://127.0.0.1:${(platform.address() as AddressInfo).port}/msi/token`;
    process.env['IDENTITY_HEADER'] = 'header-secret';
  });

  afterAll(() => {
    delete process.env['IDENTITY_ENDPOINT'];
    delete process.env['IDENTITY_HEADER'];
  });

  test('gets its token from the platform', async () => {
    const source = createSource({ managedIdentity: { clientId: callerClientId } });
    const { accessToken } = await source.getToken({ scope });
    expect(accessToken).toBe(`token-for-api://${apiClientId}`);
    expect(asked[0]?.headers['x-identity-header']).toBe('header-secret');
    expect(asked[0]?.url).toContain(`client_id=${callerClientId}`);
    await source.getToken({ scope });
    expect([asked.length, issuer.tokenRequests.length]).toEqual([1, 0]);
  });

  test('proves another application', async () => {
    await createSource({ federatedManagedIdentity: { clientId: callerClientId } }).getToken({ scope });
    expect(lastForm().get('client_assertion')).toBe('token-for-api://AzureADTokenExchange');
    expect(lastForm().get('client_id')).toBe(callerClientId);
  });

  test('that is not there gives way to the next credential', async () => {
    platform.close();
    platform.closeAllConnections();
    await createSource([{ managedIdentity: {} }, { clientSecret }]).getToken({ scope });
    expect(lastForm().get('client_secret')).toBe(clientSecret);
    await expect(createSource({ managedIdentity: {} }).getToken({ scope })).rejects.toMatchObject({
      name: 'IdentityUnavailableError',
      status: 503,
    });
  });
});

describe('the variables of Azure', () => {
  const ids = { AZURE_TENANT_ID: tenantId, AZURE_CLIENT_ID: callerClientId };

  test('describe an AKS workload identity', () => {
    const variables = {
      ...ids,
      AZURE_AUTHORITY_HOST: 'https://login.microsoftonline.com/',
      AZURE_FEDERATED_TOKEN_FILE: '/var/run/secrets/azure/wi/token/azure-identity-token',
    };
    const application = azureApplication(variables);
    expect(application).toEqual({
      authorityHost: 'https://login.microsoftonline.com/',
      tenantId,
      clientId: callerClientId,
      credential: [{ federatedTokenFile: variables.AZURE_FEDERATED_TOKEN_FILE }],
    });
    expect(createTokenSource({ ...application, network: createEntraNetwork() }).stats().tokens).toBe(0);
  });

  test('give credentials in the order of the SDKs', () => {
    const { credential } = azureApplication({
      ...ids,
      AZURE_CLIENT_SECRET: 's',
      AZURE_CLIENT_CERTIFICATE_PATH: 'c.pfx',
      AZURE_CLIENT_CERTIFICATE_PASSWORD: 'p',
      AZURE_FEDERATED_TOKEN_FILE: 'f',
    });
    expect(credential).toEqual([
      { clientSecret: 's' },
      { certificateFile: 'c.pfx', certificatePassword: 'p' },
      { federatedTokenFile: 'f' },
    ]);
  });

  test('that are missing are named', () => {
    expect(() => azureApplication({})).toThrow('not set: AZURE_TENANT_ID, AZURE_CLIENT_ID');
    expect(() => azureApplication(ids)).toThrow('AZURE_CLIENT_SECRET');
  });
});

test('a secret file of white space is a credential that cannot be used', async () => {
  const clientSecretFile = await writeTo('blank', ' \n');
  await expect(createSource({ clientSecretFile }).getToken({ scope })).rejects.toMatchObject({
    name: 'TokenAcquisitionError',
    refusal: { error: 'credential_unusable' },
  });
  expect(issuer.tokenRequests).toHaveLength(0);
});

test('a file that was not there for a moment is read again after a second', async () => {
  const path = join(folder, 'late');
  const source = createSource([{ federatedTokenFile: path }, { clientSecret }]);
  await source.getToken({ scope });
  expect(lastForm().get('client_secret')).toBe(clientSecret);
  await writeTo('late', 'assertion');
  now += 1000;
  await source.getToken({ scope: 'api://b/.default' });
  expect(lastForm().get('client_assertion')).toBe('assertion');
});

test('a credential that was left out is tried when the other one is refused for good', async () => {
  const federatedTokenFile = await writeTo('token', 'expired');
  const source = createSource([{ federatedTokenFile }, { clientSecret }]);
  await source.getToken({ scope });
  await writeTo('token', 'renewed');
  issuer.tokenReply = (form) =>
    form.get('client_assertion') === 'renewed'
      ? { body: JSON.stringify({ token_type: 'Bearer', expires_in: 3599, access_token: 'token' }) }
      : refusal(7000222);
  await source.getToken({ scope: 'api://b/.default' });
  expect(lastForm().get('client_assertion')).toBe('renewed');
});
