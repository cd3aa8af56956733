import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { sign } from 'node:crypto';
import { createServer, request, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import Koa from 'koa';
import { authenticate, createEntraNetwork, createTokenVerifier, requireAppRole } from '../src/index.ts';
import {
  appClaims,
  createKey,
  mint,
  role,
  signHmac,
  signRaw,
  startTestIssuer,
  type TestIssuer,
} from './test-issuer.ts';

interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  body: Record<string, unknown>;
}

const listen = async (app: Koa): Promise<Server> => {
  const server = createServer(app.callback());
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return server;
};

/** A service as small as can be: errors answered by Koa's contract, one route behind the policy. */
const createApi = (issuer: TestIssuer): { app: Koa; log: Record<string, unknown>[] } => {
  const log: Record<string, unknown>[] = [];
  const network = createEntraNetwork({ ca: issuer.ca, timeoutMs: 2000 });
  const verifier = createTokenVerifier({
    authorityHost: issuer.origin,
    tenantId: '11111111-1111-4111-8111-111111111111',
    clientId: '22222222-2222-4222-8222-222222222222',
    network,
  });
  const app = new Koa();
  app.use(async (ctx, next) => {
    try {
      await next();
    } catch (thrown) {
      const error = thrown as Record<string, unknown>;
      log.push((error['logFields'] as Record<string, unknown> | undefined) ?? {});
      ctx.status = (error['status'] as number | undefined) ?? 500;
      ctx.set((error['headers'] as Record<string, string> | undefined) ?? {});
      ctx.body = { code: error['code'], ...(error['members'] as object | undefined) };
    }
  });
  app.use(authenticate(verifier));
  app.use(async (ctx, next) => (ctx.path === '/unguarded' ? next() : requireAppRole(role)(ctx, next)));
  app.use((ctx) => {
    const { applicationId, roles } = ctx.state['principal'] as { applicationId: string; roles: string[] };
    ctx.body = { applicationId, roles };
  });
  return { app, log };
};

describe('a request with bad credentials', () => {
  let issuer: TestIssuer;
  let server: Server;
  let log: Record<string, unknown>[];
  const now = Date.now();

  beforeAll(async () => {
    issuer = await startTestIssuer();
    const api = createApi(issuer);
    log = api.log;
    server = await listen(api.app);
  });

  afterAll(async () => {
    server.close();
    server.closeAllConnections();
    await issuer.close();
  });

  const get = (authorization: string[], path = '/'): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const headers = ['Host', 'localhost', ...authorization.flatMap((value) => ['Authorization', value])];
      const { port } = server.address() as AddressInfo;
      request({ host: '127.0.0.1', port, path, headers, agent: false }, (res) => {
        let text = '';
        res.setEncoding('utf8');
        res.on('data', (chunk: string) => {
          text += chunk;
        });
        res.on('end', () =>
          resolve({
            status: res.statusCode ?? 0,
            headers: res.headers,
            body: JSON.parse(text) as Record<string, unknown>,
          }),
        );
      })
        .on('error', reject)
        .end();
    });

  const getWith = (token: string): Promise<Answer> => get([`Bearer ${token}`]);

  const key = () => issuer.keys[0] as (typeof issuer.keys)[0];
  const header = (extra: object = {}) => ({ typ: 'JWT', alg: 'RS256', kid: key().kid, ...extra });
  const otherGuid = '99999999-9999-4999-8999-999999999999';

  test('a good token passes, at first and from memory', async () => {
    const token = mint(issuer, now);
    expect((await getWith(token)).body).toMatchObject({ roles: [role] });
    expect((await getWith(token)).status).toBe(200);
  });

  test.each([
    ['no header', []],
    ['another scheme', ['Basic dXNlcjpwYXNz']],
    ['an empty header', ['']],
  ])('missing_token for %s', async (_, authorization) => {
    const { status, headers, body } = await get(authorization);
    expect([status, body['code'], headers['www-authenticate']]).toEqual([401, 'missing_token', 'Bearer']);
  });

  test.each([
    ['the scheme alone', ['Bearer'], '/'],
    ['two tokens', ['Bearer a b'], '/'],
    ['two joined headers', ['Bearer a, Bearer b'], '/'],
    ['two headers', ['Bearer a', 'Bearer b'], '/'],
    ['a second token in the query', ['Bearer a'], '/?access_token=b'],
  ])('invalid_request for %s', async (_, authorization, path) => {
    const { status, headers, body } = await get(authorization, path);
    expect([status, body['code']]).toEqual([400, 'invalid_request']);
    expect(headers['www-authenticate']).toContain('Bearer error="invalid_request"');
  });

  test.each<[string, string, () => string]>([
    ['an expired token', 'expired', () => mint(issuer, now, { exp: Math.floor(now / 1000) - 301 })],
    ['a token of the future', 'not_before', () => mint(issuer, now, { nbf: Math.floor(now / 1000) + 400 })],
    ['another audience', 'audience', () => mint(issuer, now, { aud: otherGuid })],
    ['another tenant', 'tenant', () => mint(issuer, now, { tid: otherGuid })],
    ['another issuer', 'issuer', () => mint(issuer, now, { iss: issuer.issuer.replace(/1/g, '9') })],
    ['a v1 token', 'version', () => mint(issuer, now, { ver: '1.0' })],
    ['a user', 'app_only', () => mint(issuer, now, { scp: 'user_impersonation' })],
    ['no exp', 'lifetime', () => mint(issuer, now, { exp: undefined })],
    [
      'alg none',
      'algorithm',
      () => signRaw(header({ alg: 'none' }), appClaims(issuer, now), key().privateKey),
    ],
    [
      'HS256 with the public key as its secret',
      'algorithm',
      () =>
        signHmac(
          header({ alg: 'HS256' }),
          appClaims(issuer, now),
          key().publicKey.export({ format: 'pem', type: 'spki' }),
        ),
    ],
    ['an unknown kid', 'key_id', () => mint(issuer, now, {}, createKey())],
    ['a key of the same name', 'signature', () => mint(issuer, now, {}, createKey(key().kid))],
    ['8 kB of garbage', 'structure', () => 'x'.repeat(8192)],
    ['8 kB of garbage in three parts', 'json', () => `${'eHh4'.repeat(680)}.`.repeat(3).slice(0, -1)],
    [
      'a crit header',
      'critical',
      () => signRaw(header({ crit: ['x'] }), appClaims(issuer, now), key().privateKey),
    ],
    [
      'roles twice',
      'duplicate_key',
      () => {
        const json = JSON.stringify(appClaims(issuer, now, { roles: [] }));
        return signRaw(header(), json.replace('{', `{"Roles":["${role}"],`), key().privateKey);
      },
    ],
    ['an empty signature', 'structure', () => `${mint(issuer, now).split('.', 2).join('.')}.`],
    [
      'its own key in the header',
      'signature',
      () => {
        const mine = createKey();
        const jwk = mine.publicKey.export({ format: 'jwk' });
        return signRaw(
          header({ jwk, jku: 'https://evil.example/keys' }),
          appClaims(issuer, now),
          mine.privateKey,
        );
      },
    ],
  ])('invalid_token for %s', async (_, check, token) => {
    log.length = 0;
    const { status, headers, body } = await getWith(token());
    expect([status, body]).toEqual([401, { code: 'invalid_token' }]);
    expect(headers['www-authenticate']).toMatch(/^Bearer error="invalid_token", error_description="[^"]+"$/);
    expect(log).toEqual([expect.objectContaining({ check })]);
  });

  test('a valid token without the role is told which one it lacks', async () => {
    log.length = 0;
    const { status, headers, body } = await getWith(mint(issuer, now, { roles: undefined }));
    expect([status, body]).toEqual([403, { code: 'insufficient_role', requiredRoles: [role] }]);
    expect(headers['www-authenticate']).toBe(`Bearer error="insufficient_scope", scope="${role}"`);
    expect(log).toEqual([{ roles: [], azp: '33333333-3333-4333-8333-333333333333' }]);
  });

  test('a route without a policy serves nobody', async () => {
    const { status, body } = await get([`Bearer ${mint(issuer, now)}`], '/unguarded');
    expect([status, body['applicationId']]).toEqual([500, undefined]);
  });

  test('what the sender wrote reaches the log only in part', async () => {
    log.length = 0;
    await getWith(mint(issuer, now, { aud: 'a'.repeat(3000), iss: ['b'.repeat(3000)] }));
    expect(JSON.stringify(log).length).toBeLessThan(600);
  });

  test('a signature over other bytes is refused', async () => {
    const [head, , signature] = mint(issuer, now).split('.');
    const payload = Buffer.from(JSON.stringify(appClaims(issuer, now, { roles: ['admin'] })));
    expect((await getWith(`${head}.${payload.toString('base64url')}.${signature}`)).status).toBe(401);
    // The same bytes signed with another padding scheme are no RS256 either.
    const input = `${head}.${payload.toString('base64url')}`;
    const pss = sign('sha256', Buffer.from(input), { key: key().privateKey, padding: 6 });
    expect((await getWith(`${input}.${pss.toString('base64url')}`)).status).toBe(401);
  });
});

describe('a cold service without keys', () => {
  test.each<[string, TestIssuer['keysReply']]>([
    ['are refused', { status: 500, body: 'oops' }],
    ['are garbage', { body: '<html>' }],
    ['are an empty set', { body: '{"keys":[]}' }],
    ['moved', { status: 302, headers: { location: 'https://localhost:1/keys' }, body: '' }],
    ['are too many', { body: `{"keys":[${' '.repeat(2 * 1024 * 1024)}]}` }],
  ])('answers 503 when keys %s', async (_, keysReply) => {
    const issuer = await startTestIssuer();
    const token = mint(issuer, Date.now());
    issuer.keysReply = keysReply;
    const { app } = createApi(issuer);
    const server = await listen(app);
    const { port } = server.address() as AddressInfo;
    const response = await fetch(`http://127.0.0.1:${port}/`, {
      headers: { authorization: `Bearer ${token}`, connection: 'close' },
    });
    expect([response.status, await response.json()]).toEqual([503, { code: 'identity_unavailable' }]);
    expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(response.headers.get('www-authenticate')).toBeNull();
    server.close();
    server.closeAllConnections();
    await issuer.close();
  });
});
