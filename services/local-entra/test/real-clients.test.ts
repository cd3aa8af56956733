import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { request, type RequestOptions } from 'node:https';
import type { IncomingMessage } from 'node:http';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { startLocalEntra, type LocalEntra } from '@countersign/local-entra';
import type { INetworkModule } from '@azure/msal-node';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createPublicKey } from 'node:crypto';
import { makeCertificate, makeJwt, thumbprint, type CertifiedKey } from './assertion.ts';

const tenant = 'eeee0000-0000-4000-8000-000000000001';
const clientId = 'eeee0000-0000-4000-8000-000000000002';
const apiId = 'eeee0000-0000-4000-8000-000000000003';
const userAssigned = 'eeee0000-0000-4000-8000-000000000004';
const resource = `api://${apiId}`;
const scope = `${resource}/.default`;
const subject = 'system:serviceaccount:shop:checkout';

let entra: LocalEntra;
let pair: CertifiedKey;
let folder: string;
let issuerServer: Server;
let issuer: string;

const grantedRoles = [{ resource: 'api', role: 'read' }];

beforeAll(async () => {
  pair = await makeCertificate();
  folder = await mkdtemp(join(tmpdir(), 'local-entra-clients-'));
  const jwk = { ...createPublicKey(pair.key).export({ format: 'jwk' }), kid: 'cluster', use: 'sig' };
  issuerServer = createServer((request, response) => {
    const document = request.url === '/keys' ? { keys: [jwk] } : { issuer, jwks_uri: `${issuer}/keys` };
    response.end(JSON.stringify(document));
  });
  issuerServer.listen(0, '127.0.0.1');
  await once(issuerServer, 'listening');
  issuer = `http://127.0.0.1:${(issuerServer.address() as AddressInfo).port}`;
  entra = await startLocalEntra({
    managedIdentity: { port: 0 },
    seed: {
      tenants: [
        {
          id: tenant,
          displayName: 'Real clients',
          applications: [
            {
              name: 'api',
              appId: apiId,
              identifierUris: [resource],
              requestedAccessTokenVersion: 2,
              appRoles: [{ value: 'read' }],
            },
            {
              name: 'client',
              appId: clientId,
              generatedSecret: true,
              certificates: [{ pem: pair.certificate }],
              federatedCredentials: [{ name: 'cluster', issuer, subject }],
              grantedRoles,
            },
          ],
          managedIdentities: [
            { name: 'machine', systemAssigned: true, grantedRoles },
            { name: 'assigned', clientId: userAssigned, grantedRoles },
          ],
        },
      ],
    },
  });
  await Promise.all([
    writeFile(join(folder, 'ca.pem'), entra.ca),
    writeFile(join(folder, 'client.pem'), `${pair.key}${pair.certificate}`),
    writeFile(join(folder, 'service-account-token'), serviceAccountToken()),
  ]);
});
afterAll(async () => {
  await entra.close();
  issuerServer.close();
  await rm(folder, { recursive: true });
});

const secret = (): string => entra.secrets['client'] ?? '';
const serviceAccountToken = (): string => {
  const iat = Math.floor(Date.now() / 1000);
  const claims = { iss: issuer, sub: subject, aud: ['api://AzureADTokenExchange'], iat, exp: iat + 3600 };
  return makeJwt({ alg: 'RS256', kid: 'cluster' }, claims, pair.key);
};

const rolesIn = async (token: string | undefined): Promise<unknown> => {
  const { decodeJwt } = await import('jose');
  return decodeJwt(token ?? '')['roles'];
};

const exchange = async (url: string, options: RequestOptions, body?: string) => {
  const outgoing = request(url, { ...options, agent: false, ca: entra.ca });
  outgoing.end(body);
  const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
  const text = Buffer.concat(await response.toArray()).toString('utf8');
  return { response, text };
};

// The way that its documentation names to bring one's own trust: a network module.
const send =
  (method: string): INetworkModule['sendPostRequestAsync'] =>
  async (url, options) => {
    const { response, text } = await exchange(
      url,
      { method, headers: options?.headers ?? {} },
      options?.body,
    );
    const headers = response.headers as Record<string, string>;
    return { headers, body: JSON.parse(text) as never, status: response.statusCode ?? 0 };
  };

describe('@azure/msal-node', () => {
  const networkClient: INetworkModule = {
    sendGetRequestAsync: send('GET'),
    sendPostRequestAsync: send('POST'),
  };

  const acquire = async (credential: object) => {
    const { ConfidentialClientApplication } = await import('@azure/msal-node');
    const auth = {
      clientId,
      authority: `${entra.origin}/${tenant}`,
      knownAuthorities: [new URL(entra.origin).host],
      ...credential,
    };
    const client = new ConfidentialClientApplication({ auth, system: { networkClient } });
    return client.acquireTokenByClientCredential({ scopes: [scope] });
  };

  test('with a secret', async () => {
    const result = await acquire({ clientSecret: secret() });
    expect(await rolesIn(result?.accessToken)).toEqual(['read']);
  });

  test('with a certificate named by SHA-256', async () => {
    const thumbprintSha256 = Buffer.from(thumbprint(pair.certificate, 'sha256'), 'base64url').toString('hex');
    const result = await acquire({ clientCertificate: { thumbprintSha256, privateKey: pair.key } });
    expect(await rolesIn(result?.accessToken)).toEqual(['read']);
  });

  test('with a certificate named by SHA-1', async () => {
    const sha1 = Buffer.from(thumbprint(pair.certificate, 'sha1'), 'base64url').toString('hex');
    const result = await acquire({ clientCertificate: { thumbprint: sha1, privateKey: pair.key } });
    expect(await rolesIn(result?.accessToken)).toEqual(['read']);
  });

  test('with a federated token from a callback', async () => {
    const result = await acquire({ clientAssertion: () => Promise.resolve(serviceAccountToken()) });
    expect(await rolesIn(result?.accessToken)).toEqual(['read']);
  });

  test('gets errors that it understands', async () => {
    await expect(acquire({ clientSecret: 'wrong' })).rejects.toMatchObject({
      errorCode: 'invalid_client',
      errorNo: 7000215,
      status: 401,
      correlationId: expect.stringMatching(/^[0-9a-f-]{36}$/),
    });
  });
});

/** The environment of a process decides how these clients find a managed identity and whom they trust. */
const inProcess = async (name: string, env: Record<string, string>): Promise<string> => {
  const { PATH = '', NODE_OPTIONS: _, ...rest } = process.env;
  const program = join(import.meta.dirname, 'real-clients', `${name}.ts`);
  const { stdout } = await promisify(execFile)(process.execPath, [program], {
    env: { ...rest, PATH, ...env, NODE_EXTRA_CA_CERTS: join(folder, 'ca.pem') },
    timeout: 30_000,
  });
  return stdout.trim();
};

const identityEnvironments = (): [string, Record<string, string>][] => {
  const { address = '', identityHeader = '' } = entra.managedIdentity ?? {};
  return [
    ['IMDS', { AZURE_POD_IDENTITY_AUTHORITY_HOST: address }],
    ['App Service', { IDENTITY_ENDPOINT: `${address}/msi/token`, IDENTITY_HEADER: identityHeader }],
  ];
};

describe('managed identity, by', () => {
  test.each(['IMDS', 'App Service'])(
    '%s: msal-node and @azure/identity, for the machine and one of its identities',
    async (kind) => {
      const [, env] = identityEnvironments().find(([name]) => name === kind) ?? ['', {}];
      for (const program of ['msal-managed-identity', 'azure-managed-identity']) {
        for (const identity of ['', userAssigned]) {
          const token = await inProcess(program, { ...env, RESOURCE: resource, CLIENT_ID: identity });
          expect(await rolesIn(token)).toEqual(['read']);
        }
      }
    },
    60_000,
  );
});

describe('@azure/identity', () => {
  test.each(['secret', 'certificate', 'workload'])(
    'with a %s',
    async (credential) => {
      const token = await inProcess('azure-identity', {
        CREDENTIAL: credential,
        SCOPE: scope,
        AZURE_AUTHORITY_HOST: entra.origin,
        AZURE_TENANT_ID: tenant,
        AZURE_CLIENT_ID: clientId,
        AZURE_CLIENT_SECRET: secret(),
        AZURE_CLIENT_CERTIFICATE_PATH: join(folder, 'client.pem'),
        AZURE_FEDERATED_TOKEN_FILE: join(folder, 'service-account-token'),
      });
      expect(await rolesIn(token)).toEqual(['read']);
    },
    30_000,
  );
});

describe('oauth4webapi', () => {
  test('discovers, authenticates and understands errors', async () => {
    const oauth = await import('oauth4webapi');
    const options = {
      [oauth.customFetch]: async (
        url: string,
        init: { method?: string; headers?: object; body?: unknown },
      ) => {
        const body = init.body instanceof URLSearchParams ? init.body.toString() : undefined;
        const { response, text } = await exchange(
          url,
          { method: init.method, headers: init.headers } as never,
          body,
        );
        const headers = Object.entries(response.headers) as [string, string][];
        return new Response(text, { status: response.statusCode ?? 0, headers });
      },
    };
    const issuerUrl = new URL(`${entra.origin}/${tenant}/v2.0`);
    const discovery = await oauth.discoveryRequest(issuerUrl, options);
    const server = await oauth.processDiscoveryResponse(issuerUrl, discovery);
    const client = { client_id: clientId };
    const grant = async (authentication: ReturnType<typeof oauth.ClientSecretPost>) => {
      const response = await oauth.clientCredentialsGrantRequest(
        server,
        client,
        authentication,
        { scope },
        options,
      );
      return oauth.processClientCredentialsResponse(server, client, response);
    };
    for (const authentication of [oauth.ClientSecretPost, oauth.ClientSecretBasic]) {
      const result = await grant(authentication(secret()));
      expect(await rolesIn(result.access_token)).toEqual(['read']);
    }
    await expect(grant(oauth.ClientSecretPost('wrong'))).rejects.toMatchObject({
      error: 'invalid_client',
      status: 401,
    });
  });
});

const python = '/usr/bin/python3';
const hasMsal = existsSync('/usr/lib/python3/dist-packages/msal');
const describeMsal = hasMsal ? describe : describe.skip;

describeMsal(`msal of Python${hasMsal ? '' : ' (SKIPPED: apt-get install python3-msal brings it)'}`, () => {
  test.each(['secret', 'certificate'])(
    'with a %s',
    async (credential) => {
      const { stdout } = await promisify(execFile)(
        python,
        [join(import.meta.dirname, 'real-clients', 'msal_client.py')],
        {
          env: {
            CREDENTIAL: credential,
            AUTHORITY: `${entra.origin}/${tenant}`,
            CLIENT_ID: clientId,
            CLIENT_SECRET: secret(),
            KEY_FILE: join(folder, 'client.pem'),
            THUMBPRINT: Buffer.from(thumbprint(pair.certificate, 'sha1'), 'base64url').toString('hex'),
            SCOPE: scope,
            CA_FILE: join(folder, 'ca.pem'),
          },
        },
      );
      expect(await rolesIn(stdout.trim())).toEqual(['read']);
    },
    30_000,
  );
});
