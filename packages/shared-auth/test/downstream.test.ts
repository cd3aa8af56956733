import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { inspect } from 'node:util';
import {
  createDownstreamApi,
  IdentityUnavailableError,
  type DownstreamApi,
  type DownstreamApiOptions,
  type DownstreamRequest,
  type TokenRequest,
  type TokenSource,
} from '../src/index.ts';

interface Seen {
  req: IncomingMessage;
  body: string;
}

type Reply = { status: number; headers?: Record<string, string>; body?: string } | 'hang' | 'reset';

let server: Server;
let baseUrl: string;
let seen: Seen[];
let reply: (seen: Seen) => Reply;
let asked: TokenRequest[];
let pauses: number[];
let events: unknown[];

beforeEach(async () => {
  seen = [];
  asked = [];
  pauses = [];
  events = [];
  reply = () => ({ status: 200, body: '{"ok":true}' });
  server = createServer((req, res) => {
    let body = '';
    req.setEncoding('utf8');
    req.on('data', (chunk: string) => {
      body += chunk;
    });
    req.on('end', () => {
      const exchange = { req, body };
      seen.push(exchange);
      const answer = reply(exchange);
      if (answer === 'reset') req.socket.destroy();
      else if (answer !== 'hang') res.writeHead(answer.status, answer.headers).end(answer.body);
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
});

afterEach(() => {
  server.close();
  server.closeAllConnections();
});

/** Gives t0, and a further token for each refused one or each claims challenge. */
const tokens: TokenSource = {
  async getToken(request) {
    asked.push(request);
    const serial = request.refused === undefined && request.claims === undefined ? 0 : asked.length;
    return { accessToken: `t${serial}`, expiresAt: new Date(), fromCache: true, durationMs: 0 };
  },
  stats: () => ({ hits: 0, acquisitions: 0, failures: 0, tokens: 0 }),
};

const createApi = (change: Partial<DownstreamApiOptions> = {}): DownstreamApi =>
  createDownstreamApi({
    name: 'records-api',
    baseUrl,
    scope: 'api://records/.default',
    tokens,
    timeoutMs: 1000,
    observer: {
      downstreamCalled: (event) => events.push(event),
      circuitChanged: (event) => events.push(event),
    },
    sleep: async (ms) => {
      pauses.push(ms);
    },
    random: () => 0.5,
    ...change,
  });

const authorizations = (): (string | undefined)[] => seen.map(({ req }) => req.headers.authorization);

test('a request carries the token and the context, below the base address', async () => {
  const headers = { 'x-request-id': 'r1', traceparent: 'tp', 'if-match': '"1"' };
  const response = await createApi().request({ path: '/records', query: { page: '2' }, headers });
  expect(response).toMatchObject({ status: 200, attempts: 1, token: { fromCache: true } });
  expect(response.json()).toEqual({ ok: true });
  expect(seen[0]?.req.url).toBe('/v1/records?page=2');
  expect(seen[0]?.req.headers).toMatchObject({
    ...headers,
    authorization: 'Bearer t0',
    accept: 'application/json',
  });
  expect(asked).toEqual([
    { scope: 'api://records/.default', headers: { 'x-request-id': 'r1', traceparent: 'tp' } },
  ]);
  expect(events).toEqual([
    expect.objectContaining({ api: 'records-api', method: 'GET', status: 200, attempts: 1 }),
  ]);
});

test('without a token nothing is sent', async () => {
  const unavailable = new IdentityUnavailableError({ retryAfterSeconds: 7 });
  const api = createApi({ tokens: { ...tokens, getToken: () => Promise.reject(unavailable) } });
  await expect(api.request({ path: 'records' })).rejects.toBe(unavailable);
  expect(seen).toHaveLength(0);
});

test.each([
  'Authorization',
  'cookie',
  'Host',
  'X-Forwarded-For',
  'x-ms-client-principal-id',
  'X-Original-URL',
  'transfer-encoding',
  'X_Forwarded_For',
  'X-HTTP-Method-Override',
  'X-Method-Override',
  'X-Real-IP',
  'True-Client-IP',
  'X-Client-IP',
  'X-ARR-ClientCert',
  'SSL_CLIENT_CERT',
  'X-Envoy-Original-Path',
  'X-MS-Anything',
  'Remote-User',
  'X-Auth-Request-Email',
  'X-Url',
  'X-Host',
  'TE',
  'Keep-Alive',
  'Proxy-Connection',
  'HTTP2-Settings',
])('the header %s is refused', async (name) => {
  await expect(createApi().request({ path: 'records', headers: { [name]: 'x' } })).rejects.toThrow(
    'reserved',
  );
  expect(seen).toHaveLength(0);
});

test.each(['../admin', '%2e%2e/admin', 'https://evil.example/', '//evil.example/', 'a/../../admin'])(
  'the path %s stays below the base address or is refused',
  async (path) => {
    const outcome = await createApi()
      .request({ path })
      .catch((error: unknown) => error);
    expect(outcome instanceof Error ? outcome.name : 'TypeError').toBe('TypeError');
    expect(seen.every(({ req }) => req.url?.startsWith('/v1/'))).toBe(true);
  },
);

describe('retries', () => {
  test('for an idempotent method, with growing pauses', async () => {
    reply = () => (seen.length < 3 ? { status: 503 } : { status: 200, body: '{}' });
    expect(await createApi().request({ path: 'records' })).toMatchObject({ status: 200, attempts: 3 });
    expect(pauses).toEqual([100, 200]);
  });

  test.each<[string, Reply]>([
    ['a broken connection', 'reset'],
    ['a hanging server', 'hang'],
  ])('after %s', async (_, first) => {
    reply = () => (seen.length === 1 ? first : { status: 200, body: '{}' });
    expect(await createApi().request({ path: 'records' })).toMatchObject({ attempts: 2 });
  });

  test('never for POST', async () => {
    reply = () => ({ status: 503 });
    const posted = createApi().request({ method: 'POST', path: 'records', json: { a: 1 } });
    await expect(posted).rejects.toMatchObject({ status: 503, code: 'downstream_unavailable' });
    expect(seen.map(({ body }) => body)).toEqual(['{"a":1}']);
  });

  test('wait as long as the server says, but not for long', async () => {
    reply = () => ({ status: 503, headers: { 'retry-after': seen.length === 1 ? '1' : '30' } });
    await expect(createApi().request({ path: 'records' })).rejects.toMatchObject({
      headers: { 'Retry-After': '30' },
    });
    expect(pauses).toEqual([1000]);
  });

  test('stay within a share of the calls', async () => {
    reply = () => ({ status: 503 });
    const api = createApi({ failuresToOpen: 10_000 });
    for (let call = 0; call < 100; call += 1) await api.request({ path: 'records' }).catch(() => {});
    expect(pauses.length).toBeGreaterThanOrEqual(10);
    expect(pauses.length).toBeLessThanOrEqual(20);
  });
});

describe('a 401', () => {
  test('is answered once with another token', async () => {
    reply = ({ req }) =>
      req.headers.authorization === 'Bearer t0' ? { status: 401 } : { status: 200, body: '{}' };
    await createApi().request({ method: 'POST', path: 'records', json: {} });
    expect(authorizations()).toEqual(['Bearer t0', 'Bearer t2']);
    expect(asked[1]).toMatchObject({ refused: 't0' });
  });

  test('is passed on when it stays', async () => {
    reply = () => ({ status: 401, body: '{"code":"invalid_token","title":"Unauthorized","requestId":"r9"}' });
    await expect(createApi().request({ path: 'records' })).rejects.toMatchObject({
      status: 502,
      code: 'downstream_refused',
      members: {
        downstream: { service: 'records-api', status: 401, code: 'invalid_token', requestId: 'r9' },
      },
    });
    expect(seen).toHaveLength(2);
  });

  test('with a claims challenge is answered with those claims', async () => {
    const claims = '{"access_token":{"nbf":{"essential":true}}}';
    const challenge = `Bearer realm="", error="insufficient_claims", claims="${Buffer.from(claims).toString('base64')}"`;
    reply = ({ req }) =>
      req.headers.authorization === 'Bearer t0'
        ? { status: 401, headers: { 'www-authenticate': challenge } }
        : { status: 200, body: '{}' };
    await createApi().request({ path: 'records' });
    expect(asked[1]).toMatchObject({ claims });
  });

  test('is not tried again with the same token', async () => {
    reply = () => ({ status: 401 });
    const same = { ...tokens, getToken: () => tokens.getToken({ scope: '' }) };
    await expect(createApi({ tokens: same }).request({ path: 'records' })).rejects.toMatchObject({
      status: 502,
    });
    expect(seen).toHaveLength(1);
  });
});

describe('failures', () => {
  test.each<[Reply, number, string]>([
    ['reset', 502, 'downstream_unreachable'],
    ['hang', 504, 'downstream_timeout'],
    [{ status: 403, body: '{"code":"insufficient_role"}' }, 502, 'downstream_refused'],
    [{ status: 500, body: '<html>' }, 502, 'downstream_failed'],
    [{ status: 429, headers: { 'retry-after': '9' } }, 503, 'downstream_unavailable'],
    [{ status: 302, headers: { location: 'https://evil.example/' } }, 502, 'downstream_failed'],
    [{ status: 404, body: '{}' }, 502, 'downstream_failed'],
  ])('%j becomes %i %s, without the token', async (answer, status, code) => {
    reply = () => answer;
    const error = await createApi({ maxRetries: 0 })
      .request({ path: 'records' })
      .catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ name: 'DownstreamError', status, code, expose: true });
    expect(JSON.stringify(error)).not.toContain('t0');
    expect((error as Error).cause).toBeUndefined();
  });

  test('an answer without end is cut', async () => {
    reply = () => ({ status: 200, body: 'x'.repeat(200_000) });
    const request = createApi({ maxBodyBytes: 1000 }).request({ path: 'records' });
    await expect(request).rejects.toMatchObject({ code: 'downstream_failed' });
    expect(seen).toHaveLength(1);
  });

  test('an answer that is not JSON is a failure when it is read', async () => {
    reply = () => ({ status: 200, body: '<html>' });
    const response = await createApi().request({ path: 'records' });
    expect(() => response.json()).toThrow('records-api failed.');
  });

  test.each<[string, (stop: AbortController) => AbortSignal]>([
    ['gives up', ({ signal }) => signal],
    ['gives too little time', () => AbortSignal.timeout(100)],
  ])('a call whose caller %s is not made again, and its error holds no token', async (_, signalOf) => {
    reply = () => 'hang';
    const stop = new AbortController();
    const signal = signalOf(stop);
    const api = createApi({ timeoutMs: 5000, failuresToOpen: 1 });
    const request = api.request({ path: 'records', signal });
    while (seen.length === 0) await new Promise((resolve) => setImmediate(resolve));
    stop.abort();
    const error = await request.catch((thrown: unknown) => thrown);
    expect(error).toBe(signal.reason);
    expect(inspect(error, { depth: 10, showHidden: true })).not.toContain('t0');
    expect(seen).toHaveLength(1);
    expect(circuit()).toEqual([]);
  });

  test('a call that is given up during a pause is not made again', async () => {
    reply = () => ({ status: 503 });
    const stop = new AbortController();
    const api = createApi({ sleep: async () => stop.abort(new Error('enough')) });
    await expect(api.request({ path: 'records', signal: stop.signal })).rejects.toThrow('enough');
    expect(seen).toHaveLength(1);
  });
});

const circle: Record<string, unknown> = {};
circle['self'] = circle;

test.each<[string, Partial<DownstreamRequest>]>([
  ['a header value with a line break', { headers: { 'x-note': 'a\r\nb' } }],
  ['a header value beyond Latin-1', { headers: { 'x-note': '\u20ac' } }],
  ['a header name with a space', { headers: { 'x note': 'a' } }],
  ['a BigInt', { method: 'POST', json: { a: 1n } }],
  ['a circle', { method: 'POST', json: circle }],
  ['a function', { method: 'POST', json: () => {} }],
  ['a body for GET', { json: {} }],
])("a request that cannot be sent (%s) is its caller's mistake and opens no circuit", async (_, request) => {
  const api = createApi({ failuresToOpen: 1 });
  await expect(api.request({ path: 'records', ...request })).rejects.toMatchObject({ name: 'TypeError' });
  expect([seen.length, asked.length, circuit().length]).toEqual([0, 0, 0]);
  expect((await api.request({ path: 'records' })).status).toBe(200);
});

test('only well-formed context goes to Entra', async () => {
  const headers = { 'X-Request-Id': 'r1', traceparent: 'x'.repeat(600), accept: 'text/plain' };
  await createApi().request({ path: 'records', headers });
  expect(asked[0]?.headers).toEqual({ 'x-request-id': 'r1' });
});

test.each([
  'http://records.example/',
  'http://127.0.0.1.evil.example/',
  'ftp://records.example/',
  'https://user@records.example/',
  'https://:word@records.example/',
  'https://records.example/?a=b',
  'https://records.example/#a',
])('the base address %s is refused', (address) => {
  expect(() => createApi({ baseUrl: address })).toThrow(TypeError);
});

test('plain http to another machine is asked for by name', () => {
  expect(() => createApi({ baseUrl: 'http://records.example/', allowPlainHttp: true })).not.toThrow();
});

test.each(['..%2fadmin', 'a%5cb', 'a%00', '..;/admin'])('the path %s is refused', async (path) => {
  await expect(createApi().request({ path })).rejects.toThrow('encoded separator');
  expect(seen).toHaveLength(0);
});

test.each<[string, number]>([
  ['timeoutMs', 0],
  ['timeoutMs', Number.NaN],
  ['maxBodyBytes', -1],
  ['maxRetries', Infinity],
  ['retryShare', 2],
  ['maxConcurrent', 0],
  ['maxQueued', -1],
  ['failuresToOpen', 0],
  ['openMs', Number.NaN],
])('%s cannot be %d', (name, value) => {
  expect(() => createApi({ [name]: value })).toThrow(`${name} must be`);
});

const circuit = (): unknown[] => events.filter((event) => 'isOpen' in (event as object));

test('the circuit opens after failures in a row, and closes when the API is back', async () => {
  reply = () => ({ status: 500 });
  const api = createApi({ failuresToOpen: 3, openMs: 1, maxRetries: 0 });
  for (let call = 0; call < 3; call += 1) await api.request({ path: 'records' }).catch(() => {});
  expect(circuit()).toEqual([{ api: 'records-api', isOpen: true }]);
  reply = () => ({ status: 200, body: '{}' });
  const startMs = Date.now();
  while (Date.now() < startMs + 3) await new Promise((resolve) => setImmediate(resolve));
  await api.request({ path: 'records' });
  expect(circuit()).toHaveLength(2);
});

test('an open circuit sends nothing and says when to come back', async () => {
  reply = () => ({ status: 500 });
  const api = createApi({ failuresToOpen: 3, openMs: 60_000, maxRetries: 0 });
  for (let call = 0; call < 4; call += 1) await api.request({ path: 'records' }).catch(() => {});
  expect(seen).toHaveLength(3);
  await expect(api.request({ path: 'records' })).rejects.toMatchObject({
    status: 503,
    headers: { 'Retry-After': '60' },
    logFields: { circuit: 'open' },
  });
});

test('calls beyond the limit and its queue are refused at once', async () => {
  reply = () => 'hang';
  const api = createApi({ maxConcurrent: 2, maxQueued: 1, maxRetries: 0 });
  const outcomes = await Promise.allSettled(
    Array.from({ length: 5 }, () => api.request({ path: 'records' })),
  );
  const codes = outcomes.map(
    (each) => (each as PromiseRejectedResult).reason as { code: string; logFields: object },
  );
  expect(codes.filter(({ code }) => code === 'downstream_timeout')).toHaveLength(3);
  expect(codes.filter(({ logFields }) => 'queue' in logFields)).toHaveLength(2);
});
