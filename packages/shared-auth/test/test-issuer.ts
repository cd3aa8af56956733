import 'reflect-metadata';
import * as x509 from '@peculiar/x509';
import { createHmac, generateKeyPairSync, randomUUID, sign, type KeyObject } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { EntraNetwork } from '../src/index.ts';

export const tenantId = '11111111-1111-4111-8111-111111111111';
export const apiClientId = '22222222-2222-4222-8222-222222222222';
export const callerClientId = '33333333-3333-4333-8333-333333333333';
export const callerObjectId = '44444444-4444-4444-8444-444444444444';
export const role = 'access_as_application_API1';
export const clientSecret = 'the-secret-of-the-caller';

export interface TestKey {
  kid: string;
  privateKey: KeyObject;
  publicKey: KeyObject;
}

export const createKey = (kid: string = randomUUID(), modulusLength = 2048): TestKey => ({
  kid,
  ...generateKeyPairSync('rsa', { modulusLength }),
});

export interface Reply {
  status?: number;
  headers?: Record<string, string>;
  body: string;
}

/** An identity provider that is reached over real TLS and answers what a test tells it to. */
export interface TestIssuer {
  origin: string;
  ca: string;
  issuer: string;
  /** Published keys; the first one signs. */
  keys: TestKey[];
  /** Replaces the answer of the keys address; `hang` never answers. */
  keysReply: Reply | 'hang' | undefined;
  tokenReply: ((form: URLSearchParams) => Reply | 'hang') | undefined;
  keyFetches: IncomingHttpHeaders[];
  tokenRequests: { form: URLSearchParams; headers: IncomingHttpHeaders }[];
  jwks(): { keys: Record<string, unknown>[] };
  /** Cuts all connections and stops listening. */
  close(): Promise<void>;
}

export const base64url = (value: unknown): string =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');

/** Signs header and payload, given as values or as JSON text, with RS256. */
export const signRaw = (header: unknown, payload: unknown, key: KeyObject): string => {
  const input = `${base64url(header)}.${base64url(payload)}`;
  return `${input}.${sign('sha256', Buffer.from(input), key).toString('base64url')}`;
};

export const signHmac = (header: unknown, payload: unknown, secret: string | Buffer): string => {
  const input = `${base64url(header)}.${base64url(payload)}`;
  return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`;
};

/** The claims of a v2 app-only token, back-dated by five minutes as Entra does. */
export const appClaims = (
  issuer: Pick<TestIssuer, 'issuer'>,
  nowMs: number,
  claims: Record<string, unknown> = {},
): Record<string, unknown> => {
  const now = Math.floor(nowMs / 1000);
  return {
    aud: apiClientId,
    iss: issuer.issuer,
    iat: now - 300,
    nbf: now - 300,
    exp: now + 3600,
    aio: 'opaque',
    azp: callerClientId,
    azpacr: '1',
    oid: callerObjectId,
    rh: 'opaque',
    roles: [role],
    sub: callerObjectId,
    tid: tenantId,
    uti: randomUUID(),
    ver: '2.0',
    ...claims,
  };
};

export const mint = (
  issuer: Pick<TestIssuer, 'issuer' | 'keys'>,
  nowMs: number,
  claims: Record<string, unknown> = {},
  key = issuer.keys[0] as TestKey,
): string =>
  signRaw({ typ: 'JWT', alg: 'RS256', kid: key.kid }, appClaims(issuer, nowMs, claims), key.privateKey);

const toJwks = ({ keys, issuer }: Pick<TestIssuer, 'keys' | 'issuer'>): ReturnType<TestIssuer['jwks']> => ({
  keys: keys.map(({ kid, publicKey }) => ({
    ...publicKey.export({ format: 'jwk' }),
    use: 'sig',
    kid,
    x5t: kid,
    issuer,
  })),
});

/** An identity provider without a network: its keys are answered at once. */
export interface StaticIssuer extends Pick<TestIssuer, 'origin' | 'issuer' | 'keys'> {
  /** Addresses that were fetched. */
  fetched: string[];
  network: EntraNetwork;
}

export const createStaticIssuer = (
  origin = 'https://login.microsoftonline.com',
  keys: TestKey[] = [createKey()],
  issuer = `${origin}/${tenantId}/v2.0`,
): StaticIssuer => {
  const test: StaticIssuer = {
    origin,
    issuer,
    keys,
    fetched: [],
    network: {
      request: async (url) => {
        test.fetched.push(url);
        return { status: 200, headers: {}, body: JSON.stringify(toJwks(test)) };
      },
      close: () => {},
    },
  };
  return test;
};

const createTlsIdentity = async (): Promise<{ key: string; cert: string }> => {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const keys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const cert = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: '01',
    name: 'CN=localhost',
    notBefore: new Date(Date.now() - 60_000),
    notAfter: new Date(Date.now() + 3_600_000),
    signingAlgorithm: algorithm,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: 'localhost' }]),
    ],
  });
  const pkcs8 = Buffer.from(await crypto.subtle.exportKey('pkcs8', keys.privateKey));
  const key = `-----BEGIN PRIVATE KEY-----\n${pkcs8.toString('base64')}\n-----END PRIVATE KEY-----\n`;
  return { key, cert: cert.toString('pem') };
};

const grant = (form: URLSearchParams): Reply => {
  if (form.get('client_secret') !== clientSecret) {
    return {
      status: 401,
      body: JSON.stringify({
        error: 'invalid_client',
        error_description:
          'AADSTS7000215: Invalid client secret provided. Trace ID: 0 Correlation ID: 0 Timestamp: 0',
        error_codes: [7000215],
        correlation_id: form.get('client-request-id'),
      }),
    };
  }
  return {
    body: JSON.stringify({
      token_type: 'Bearer',
      expires_in: 3599,
      ext_expires_in: 3599,
      access_token: `token-${randomUUID()}`,
    }),
  };
};

export const startTestIssuer = async (keys: TestKey[] = [createKey()]): Promise<TestIssuer> => {
  const tls = await createTlsIdentity();
  const server = createServer(tls, (req, res) => {
    const respond = (reply: Reply | 'hang'): void => {
      if (reply === 'hang') return;
      res.writeHead(reply.status ?? 200, { 'content-type': 'application/json', ...reply.headers });
      res.end(reply.body);
    };
    const chunks: Buffer[] = [];
    req.on('data', (chunk: Buffer) => chunks.push(chunk));
    req.on('end', () => {
      const path = new URL(req.url ?? '/', test.origin).pathname;
      if (path === `/${tenantId}/discovery/v2.0/keys`) {
        test.keyFetches.push(req.headers);
        respond(test.keysReply ?? { body: JSON.stringify(test.jwks()) });
      } else if (path === `/${tenantId}/v2.0/.well-known/openid-configuration`) {
        const base = `${test.origin}/${tenantId}`;
        respond({
          body: JSON.stringify({
            issuer: test.issuer,
            authorization_endpoint: `${base}/oauth2/v2.0/authorize`,
            token_endpoint: `${base}/oauth2/v2.0/token`,
            jwks_uri: `${base}/discovery/v2.0/keys`,
          }),
        });
      } else if (path === `/${tenantId}/oauth2/v2.0/token`) {
        const form = new URLSearchParams(Buffer.concat(chunks).toString());
        test.tokenRequests.push({ form, headers: req.headers });
        respond((test.tokenReply ?? grant)(form));
      } else respond({ status: 404, body: '{}' });
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const origin = `https://localhost:${(server.address() as AddressInfo).port}`;
  const test: TestIssuer = {
    origin,
    ca: tls.cert,
    issuer: `${origin}/${tenantId}/v2.0`,
    keys,
    keysReply: undefined,
    tokenReply: undefined,
    keyFetches: [],
    tokenRequests: [],
    jwks: () => toJwks(test),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return test;
};
