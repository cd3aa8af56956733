import { once } from 'node:events';
import { createServer, type IncomingMessage, request } from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import { InvalidTokenError, type Principal, type TokenVerifier } from '@countersign/shared-auth';
import { afterEach, describe, expect, test } from '@jest/globals';
import { listenOn, startGateway, startUpstream, stopAll } from './start-gateway.ts';

afterEach(stopAll);

const principals: Readonly<Record<string, Partial<Principal>>> = {
  reader: { applicationId: 'reader', objectId: 'o1', tenantId: 't', roles: ['read'] },
  writer: { applicationId: 'writer', objectId: 'o2', tenantId: 't', roles: ['read', 'write'] },
  stranger: { applicationId: 'stranger', objectId: 'o3', tenantId: 't', roles: [] },
};

/** shared-auth's verifier has tests of its own, and the system suite runs both together; here a word is a token. */
const verifier = {
  recall: () => undefined,
  verify: async (token: string) => {
    const principal = principals[token];
    if (!principal) throw new InvalidTokenError('signature');
    return principal as Principal;
  },
} as unknown as TokenVerifier;
const verifiers = new Map([['records', verifier]]);

const echo = () =>
  startUpstream((incoming, outgoing) => {
    outgoing.end(JSON.stringify({ url: incoming.url, headers: incoming.headers }));
  });

interface Answer {
  status: number;
  headers: IncomingMessage['headers'];
  body: Record<string, unknown> & { headers?: Record<string, string>; url?: string };
}

const ask = async (
  url: string,
  init: { method?: string; path?: string; headers?: Record<string, string> } = {},
): Promise<Answer> => {
  const { hostname, port, pathname } = new URL(url);
  const { path = pathname, ...rest } = init;
  const [response] = (await once(request({ hostname, port, path, ...rest }).end(), 'response')) as [
    IncomingMessage,
  ];
  let text = '';
  for await (const chunk of response) text += String(chunk);
  const isJson = text.startsWith('{');
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    body: isJson ? (JSON.parse(text) as Answer['body']) : {},
  };
};

describe('access', () => {
  const start = async () => {
    const origin = await echo();
    return startGateway({
      verifiers,
      table: {
        upstreams: { u: { addresses: [origin] } },
        routes: [
          { path: '/open', upstream: 'u', access: 'public' },
          {
            path: '/open/admin',
            upstream: 'u',
            access: { api: 'records', policy: { appRole: 'write' } },
          },
          {
            path: '/records',
            upstream: 'u',
            access: {
              api: 'records',
              policy: { byMethod: { GET: { appRole: 'read' }, POST: { appRole: 'write' } } },
            },
          },
        ],
      },
    });
  };
  const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

  test.each([
    ['without a token', 'GET', {}, 401, 'missing_token'],
    ['with a token that is none', 'GET', bearer('nonsense'), 401, 'invalid_token'],
    ['without the role', 'GET', bearer('stranger'), 403, 'insufficient_role'],
    ['with the role for another method', 'POST', bearer('reader'), 403, 'insufficient_role'],
  ])('%s: %s is refused before the upstream hears of it', async (_, method, headers, status, code) => {
    const { url, table } = await start();
    const answer = await ask(`${url}/records`, { method, headers });
    expect(answer).toMatchObject({ status, body: { code } });
    expect(answer.headers['www-authenticate']).toMatch(/^Bearer/);
    expect(table.upstreams.get('u')?.state().endpoints[0]?.openConnections).toBe(0);
  });

  test('who calls is told to the upstream, whatever the client says of itself', async () => {
    const { url, records } = await start();
    const { status, body } = await ask(`${url}/records`, {
      headers: { ...bearer('writer'), 'x-caller-application-id': 'admin', 'x-ms-client-principal': 'x' },
    });
    expect(status).toBe(200);
    expect(body.headers).toMatchObject({
      'x-caller-application-id': 'writer',
      'x-caller-object-id': 'o2',
      'x-caller-tenant-id': 't',
      authorization: 'Bearer writer',
    });
    expect(body.headers).not.toHaveProperty('x-ms-client-principal');
    expect(records.at(-1)).toMatchObject({ azp: 'writer', 'http.route': '/records' });
  });

  test.each(['/open/admin', '/OPEN/Admin/x', '/open/admin?x'])(
    '%s needs the token of the inner route',
    async (path) => {
      const { url } = await start();
      expect((await ask(url, { path })).status).toBe(401);
    },
  );

  test.each([
    ...['/open/%61dmin', '/open/%61%64%6d%69%6e', '/open/admi%6E/x', '/open/%2561dmin', '/open/admin%3bx'],
    ...[
      '/open/admin%3f',
      '/open/admin%23',
      '/open/x/%2e%2e/admin',
      '/open/x/%c0%ae%c0%ae/admin',
      '/open/%E1dmin',
    ],
    ...[
      '/open/%2fadmin',
      '/open/./admin',
      '/open//admin',
      '/open/admin;x',
      '/open/admin%5c',
      '/open/admin%00',
    ],
  ])('no spelling of an inner path comes in by the public route around it: %s', async (path) => {
    const { url, table } = await start();
    expect((await ask(url, { path })).status).toBe(400);
    expect(table.upstreams.get('u')?.state().endpoints[0]?.openConnections).toBe(0);
  });

  test('a public route needs no token, and what no route covers is 404', async () => {
    const { url } = await start();
    expect((await ask(`${url}/open/x`)).status).toBe(200);
    expect((await ask(`${url}/elsewhere`)).status).toBe(404);
  });
});

describe('the request target', () => {
  const start = async (route = {}) => {
    const origin = await echo();
    return startGateway({
      table: {
        upstreams: { u: { addresses: [origin] } },
        routes: [{ path: '/a', upstream: 'u', access: 'public', ...route }],
      },
    });
  };

  test.each(['/a/b', '/A/b', '/a/%20', '/a/b?x=%2f..', '/a/~user/@me', '/a/b.c', '/a/...', '/a/%C3%A9'])(
    '%s is forwarded byte for byte',
    async (path) => {
      const { url } = await start();
      expect(await ask(url, { path })).toMatchObject({ status: 200, body: { url: path } });
    },
  );

  test.each([
    '/a/../b',
    '/a/./b',
    '/a/%2e%2e/b',
    '/a/%2E./b',
    '/a/..',
    '/a//b',
    '//a',
    '/a/%2f',
    '/a/%5c',
    '/a/%00',
    '/a/%61',
    '/a/%7E',
    '/a/%252e%252e',
    '/a/%3bx',
    '/a/%3fx',
    '/a/%23x',
    '/a/%ff',
    '/a/%c0%ae%c0%ae',
    '/a/%ed%a0%80',
    '/a/%c3',
    '/a/%0d%0aX: y',
    '/a/%zz',
    '/a/%',
    '/a;x=1',
    '/a/..;/b',
    '/a\\b',
    '/a#b',
    '/a?"',
    'http://evil/a',
    'a',
  ])('%s is refused', async (path) => {
    const { url } = await start();
    const { port } = new URL(url);
    const socket = connect(Number(port), '127.0.0.1');
    socket.end(`GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
    let text = '';
    for await (const chunk of socket) text += String(chunk);
    expect(text).toMatch(/^HTTP\/1\.1 400 /);
    expect(text).toContain('application/problem+json');
  });

  test('an encoded slash passes where the route says so, and takes no step with it', async () => {
    const { url } = await start({ encodedSlashes: true });
    expect(await ask(url, { path: '/a/b%2Fc' })).toMatchObject({ status: 200, body: { url: '/a/b%2Fc' } });
    expect(await ask(url, { path: '/a/b%2f..%2Fc' })).toMatchObject({ status: 400 });
  });

  test('the prefix is replaced where the route says so', async () => {
    const { url } = await start({ rewrite: '/inner/v1' });
    expect(await ask(url, { path: '/a/b?c=1' })).toMatchObject({ body: { url: '/inner/v1/b?c=1' } });
    expect(await ask(url, { path: '/a' })).toMatchObject({ body: { url: '/inner/v1' } });
  });

  test.each([
    ['two hosts', 'Host: x\r\nHost: y\r\n', 400],
    ['no host', '', 400],
    ['a host that is none', 'Host: a b\r\n', 400],
    ['TRACE', 'Host: x\r\n', 501, 'TRACE'],
  ])('%s', async (_, headers, status, method = 'GET') => {
    const { url } = await start();
    const socket = connect(Number(new URL(url).port), '127.0.0.1');
    socket.end(`${method} /a HTTP/1.1\r\n${headers}Connection: close\r\n\r\n`);
    let text = '';
    for await (const chunk of socket) text += String(chunk);
    expect(text).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
  });
});

describe('limits', () => {
  const start = async (route: object, more = {}) => {
    const origin = await startUpstream((incoming, outgoing) => {
      incoming.resume();
      incoming.on('end', () => outgoing.end('{}'));
    });
    return startGateway({
      ...more,
      verifiers,
      table: {
        upstreams: { u: { addresses: [origin] } },
        routes: [{ path: '/a', upstream: 'u', access: 'public', ...route }],
      },
    });
  };

  test('a caller that has used up its requests gets 429 and when to come back; another one goes on', async () => {
    const { url } = await start({
      access: { api: 'records', policy: { appRole: 'read' } },
      rateLimit: { requests: 2, perSeconds: 60 },
    });
    const as = (token: string) => ask(`${url}/a`, { headers: { authorization: `Bearer ${token}` } });
    expect((await as('reader')).headers).toMatchObject({ 'ratelimit-policy': '"default";q=2;w=60' });
    expect((await as('reader')).headers['ratelimit']).toMatch(/^"default";r=0;t=\d+$/);
    const refused = await as('reader');
    expect(refused).toMatchObject({ status: 429, body: { code: 'rate_limited' } });
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
    expect((await as('writer')).status).toBe(200);
  });

  test('clients behind a trusted proxy are counted by the address that it gives', async () => {
    const { url } = await start(
      { rateLimit: { requests: 1, perSeconds: 60, by: 'address' } },
      { trustedProxies: ['127.0.0.1'] },
    );
    const from = async (address: string) =>
      (await ask(`${url}/a`, { headers: { 'x-forwarded-for': address } })).status;
    expect(await from('192.0.2.1')).toBe(200);
    expect(await from('192.0.2.2')).toBe(200);
    expect(await from('203.0.113.9, 192.0.2.1')).toBe(429);
    expect(await from('203.0.113.9, 192.0.2.1:4711')).toBe(429);
    expect(await from('192.0.2.3:4711')).toBe(200);
    expect(await from('192.0.2.3:4712')).toBe(429);
  });

  test('a network of IPv6 counts as one client, whoever in it asks', async () => {
    const { url } = await start(
      { rateLimit: { requests: 1, perSeconds: 60, by: 'address' } },
      { trustedProxies: ['127.0.0.1'] },
    );
    const from = async (address: string) =>
      (await ask(`${url}/a`, { headers: { 'x-forwarded-for': address } })).status;
    expect(await from('2001:db8::1')).toBe(200);
    expect(await from('2001:DB8:0:0:f:f:f:f')).toBe(429);
    expect(await from('[2001:db8::2]:4711')).toBe(429);
    expect(await from('[2001:db8:0:1::2]')).toBe(200);
  });

  test.each([
    ['announced', { 'content-length': '11' }],
    ['chunked', { 'transfer-encoding': 'chunked' }],
  ])('a body that is too long, %s: 413', async (_, headers) => {
    const { url } = await start({ maxBodyBytes: 10 });
    const outgoing = request(`${url}/a`, {
      method: 'POST',
      headers: headers,
    });
    outgoing.on('error', () => undefined);
    outgoing.end('x'.repeat(11));
    const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
    expect(response.statusCode).toBe(413);
    response.resume();
  });

  test('a method that the route does not name: 405; HEAD goes with GET', async () => {
    const { url } = await start({ methods: ['GET'] });
    const refused = await ask(`${url}/a`, { method: 'POST' });
    expect(refused).toMatchObject({ status: 405, body: { code: 'method_not_allowed' } });
    expect(refused.headers['allow']).toBe('GET');
    expect((await ask(`${url}/a`, { method: 'HEAD' })).status).toBe(200);
  });

  test('connections of one address beyond their number are closed', async () => {
    const { url } = await start({}, { maxConnectionsPerAddress: 2 });
    const sockets = [1, 2, 3].map(() => connect(Number(new URL(url).port), '127.0.0.1'));
    for (const socket of sockets) socket.on('error', () => undefined);
    const last = sockets.at(-1);
    if (last) await once(last, 'close');
    for (const socket of sockets) socket.destroy();
    expect(last?.destroyed).toBe(true);
  });
});

describe('cross-origin requests', () => {
  const start = async (protocol: 'http1' | 'h2c' = 'http1', origins = ['https://app.example']) => {
    const origin = await startUpstream((_incoming, outgoing) => {
      outgoing.writeHead(200, {
        vary: 'Accept',
        'access-control-allow-origin': '*',
        'access-control-allow-credentials': 'true',
        'access-control-expose-headers': 'x-secret',
      });
      outgoing.end('{}');
    });
    return startGateway({
      protocol,
      verifiers,
      table: {
        upstreams: { u: { addresses: [origin] } },
        routes: [
          {
            path: '/a',
            upstream: 'u',
            methods: ['GET'],
            access: { api: 'records', policy: { appRole: 'read' } },
            cors: { origins },
          },
        ],
      },
    });
  };

  test('a preflight is answered at the gateway, without a token', async () => {
    const { url } = await start();
    const headers = { origin: 'https://app.example', 'access-control-request-method': 'GET' };
    const answer = await ask(`${url}/a`, { method: 'OPTIONS', headers });
    expect(answer.status).toBe(204);
    expect(answer.headers).toMatchObject({
      'access-control-allow-origin': 'https://app.example',
      'access-control-allow-methods': 'GET',
      'access-control-allow-headers': 'authorization, content-type',
    });
  });

  test('answers and refusals can be read by the origins that the route names, and by no other', async () => {
    const { url } = await start();
    const allowed = await ask(`${url}/a`, { headers: { origin: 'https://app.example' } });
    expect(allowed.status).toBe(401);
    expect(allowed.headers['access-control-allow-origin']).toBe('https://app.example');
    const token = { authorization: 'Bearer reader' };
    const answered = await ask(`${url}/a`, { headers: { origin: 'https://app.example', ...token } });
    expect(answered.status).toBe(200);
    expect(answered.headers['access-control-allow-origin']).toBe('https://app.example');
    expect(answered.headers['access-control-expose-headers']).toBe('x-request-id, retry-after');
    expect(answered.headers).not.toHaveProperty('access-control-allow-credentials');
    for (const headers of [{ origin: 'https://evil.example', ...token }, token]) {
      const other = await ask(`${url}/a`, { headers });
      expect(Object.keys(other.headers).filter((name) => name.startsWith('access-control-'))).toEqual([]);
    }
  });

  test('where the route says *, pages of any origin may ask and read, without credentials of the browser', async () => {
    const { url } = await start('http1', ['*']);
    const origin = 'https://any.example';
    const asked = { origin, 'access-control-request-method': 'GET' };
    const preflight = await ask(`${url}/a`, { method: 'OPTIONS', headers: asked });
    expect(preflight).toMatchObject({ status: 204, headers: { 'access-control-allow-methods': 'GET' } });
    const answered = await ask(`${url}/a`, { headers: { origin, authorization: 'Bearer reader' } });
    expect(answered.status).toBe(200);
    for (const { headers } of [preflight, answered, await ask(`${url}/a`, { headers: { origin } })]) {
      expect(headers['access-control-allow-origin']).toBe('*');
      expect(headers).not.toHaveProperty('access-control-allow-credentials');
    }
  });

  test.each(['https://app.example', 'https://evil.example', undefined])(
    'a cache is told that answers and refusals differ by origin, also to a request of %s',
    async (origin) => {
      const { url } = await start();
      const headers: Record<string, string> = origin === undefined ? {} : { origin };
      expect((await ask(`${url}/a`, { headers })).headers['vary']).toBe('Origin');
      const answered = await ask(`${url}/a`, { headers: { authorization: 'Bearer reader', ...headers } });
      expect(answered.headers['vary']).toBe('Accept, Origin');
    },
  );

  test('over HTTP/2 as well', async () => {
    const { url } = await start('h2c');
    const session = connectHttp2(url);
    const stream = session.request({
      ':path': '/a',
      origin: 'https://app.example',
      authorization: 'Bearer reader',
    });
    const [head] = (await once(stream.resume(), 'response')) as [Record<string, string>];
    session.destroy();
    expect(head).toMatchObject({
      ':status': 200,
      vary: 'Accept, Origin',
      'access-control-allow-origin': 'https://app.example',
    });
  });
});

test('what is no HTTP gets a problem, and a record', async () => {
  const { url, records } = await startGateway({
    table: {
      routes: [{ path: '/a', upstream: 'u', access: 'public' }],
      upstreams: { u: { addresses: [await listenOn(createServer())] } },
    },
  });
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  socket.end('NONSENSE\r\n\r\n');
  let text = '';
  for await (const chunk of socket) text += String(chunk);
  expect(text).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/);
  const { requestId } = JSON.parse(text.split('\r\n\r\n')[1] as string) as { requestId: string };
  expect(records.at(-1)).toMatchObject({ request_id: requestId, msg: 'unreadable request' });
});
