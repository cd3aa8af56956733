import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { readRequestContext } from '@countersign/service-kit';
import { createDownstreamApi, type TokenSource } from '@countersign/shared-auth';
import { afterEach, describe, expect, test } from '@jest/globals';
import { Journey } from '../src/journey.ts';
import { createRecordsClient } from '../src/records-client.ts';

let server: Server | undefined;
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

const requestContext = readRequestContext({ 'x-request-id': 'request-0001' });
const record = {
  id: 1,
  name: 'Record 1',
  description: 'Description of Record 1',
  date: '2026-01-01T00:00:00.000Z',
};

/** The token source has tests of its own; here it hands out a fixed token. */
const tokens = {
  getToken: async () => ({ accessToken: 'the-token', expiresAt: new Date(), fromCache: true, durationMs: 0 }),
} as unknown as TokenSource;

const startApi = async (listener: RequestListener, path = '') => {
  server = createServer(listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const baseUrl = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`);
  // Without retries, so that each answer is the first one.
  const scope = 'api://x/.default';
  const options = { name: 'records-api', baseUrl, scope, tokens, timeoutMs: 200, maxRetries: 0 };
  const client = createRecordsClient(createDownstreamApi(options), tokens, scope);
  const journey = new Journey();
  const call = { requestContext, journey };
  return { client, call, journey };
};

const answer =
  (status: number, body: unknown, headers: Record<string, string> = {}): RequestListener =>
  (_request, response) => {
    response.writeHead(status, headers).end(typeof body === 'string' ? body : JSON.stringify(body));
  };

describe('createRecordsClient', () => {
  test('calls below the base URL, with token, request id and trace', async () => {
    let seen: { url?: string; headers?: object } = {};
    const { client, call, journey } = await startApi(({ url = '', headers }, response) => {
      seen = { url, headers };
      response.end(JSON.stringify([record]));
    }, '/behind/a/gateway');
    expect(await client.list(call, {})).toEqual({ records: [record], nextCursor: undefined });
    expect(journey.logFields()).toMatchObject({
      token_from_cache: true,
      steps: [
        { name: 'token', outcome: 'hit' },
        { name: 'call', outcome: 'GET 200' },
      ],
    });
    expect(seen).toMatchObject({
      url: '/behind/a/gateway/api/records',
      headers: {
        authorization: 'Bearer the-token',
        'x-request-id': 'request-0001',
        traceparent: `00-${requestContext.traceId}-${requestContext.spanId}-01`,
      },
    });
  });

  const problem = { code: 'insufficient_role', requestId: 'request-0001' };
  test.each([
    ['401', answer(401, problem), { status: 502, code: 'downstream_refused' }],
    ['403', answer(403, problem), { status: 502, code: 'downstream_refused' }],
    ['500 with a page of HTML', answer(500, '<h1>no</h1>'), { status: 502, code: 'downstream_failed' }],
    [
      'a redirect, which would carry the token away',
      answer(302, '', { location: '/' }),
      { status: 502, code: 'downstream_failed' },
    ],
    ['200 with something else', answer(200, { records: [] }), { status: 502, code: 'downstream_invalid' }],
    ['200 with no JSON', answer(200, 'records'), { status: 502, code: 'downstream_invalid' }],
    [
      '503 with Retry-After',
      answer(503, problem, { 'retry-after': '7' }),
      { status: 503, code: 'downstream_unavailable', headers: { 'Retry-After': '7' } },
    ],
    ['no answer in time', () => undefined, { status: 504, code: 'downstream_timeout' }],
    [
      'a broken connection',
      (request) => request.socket.destroy(),
      { status: 502, code: 'downstream_unreachable' },
    ],
  ] as [string, RequestListener, object][])('%s', async (_, listener, expected) => {
    const { client, call } = await startApi(listener);
    await expect(client.list(call, {})).rejects.toMatchObject(expected);
  });

  test('a refusal says what the other side said, and the log has all of it', async () => {
    const { client, call } = await startApi(answer(403, { ...problem, detail: 'Not you.', more: 'x' }));
    await expect(client.list(call, {})).rejects.toMatchObject({
      logFields: { downstream_body: JSON.stringify({ ...problem, detail: 'Not you.', more: 'x' }) },
      members: {
        downstream: {
          service: 'records-api',
          status: 403,
          code: 'insufficient_role',
          requestId: 'request-0001',
          detail: 'Not you.',
        },
      },
    });
  });

  test.each([400, 404, 409, 412, 418, 422, 428])('%i passes with its meaning', async (status) => {
    const errors = [{ pointer: '/name', detail: 'must be 1 to 200 characters' }];
    const { client, call } = await startApi(answer(status, { code: 'its_own', detail: 'Why.', errors }));
    await expect(client.create(call, {}, 'key')).rejects.toMatchObject({
      status,
      code: 'its_own',
      message: 'Why.',
      members: { errors, downstream: { service: 'records-api', status } },
    });
  });

  test('a conflict tells the version that is there now', async () => {
    const { client, call } = await startApi(answer(412, { code: 'precondition_failed' }, { etag: '"7"' }));
    await expect(client.replace(call, '1', record, '"6"')).rejects.toMatchObject({
      status: 412,
      headers: { ETag: '"7"' },
    });
  });

  test('an Idempotency-Key is one of its caller, and a replay is told', async () => {
    const keys: unknown[] = [];
    const { client, call } = await startApi(({ headers }, response) => {
      keys.push(headers['idempotency-key']);
      response.writeHead(201, { etag: '"1"', 'idempotency-replayed': 'true' }).end(JSON.stringify(record));
    });
    for (const applicationId of [undefined, 'one', 'other']) {
      expect(await client.create({ ...call, applicationId }, record, 'key')).toMatchObject({
        isReplay: true,
      });
    }
    expect(keys[0]).toBe('key');
    expect(new Set(keys).size).toBe(3);
    expect(keys[1]).toMatch(/^[\w-]{43}$/);
  });

  test('what looks like a token in a body is in no log', async () => {
    const { client, call } = await startApi(answer(500, 'got eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln'));
    await expect(client.list(call, {})).rejects.toMatchObject({
      logFields: { downstream_body: 'got [token]' },
    });
  });

  test('pages are linked by their cursor; a record comes with its version', async () => {
    const { client, call } = await startApi(({ url }, response) => {
      const isList = url === '/api/records?limit=1';
      response.setHeader(
        isList ? 'link' : 'etag',
        isList ? '</api/records?limit=1&cursor=a%2Bb>; rel="next"' : '"7"',
      );
      response.end(JSON.stringify(isList ? [record] : record));
    });
    expect(await client.list(call, { limit: '1' })).toEqual({ records: [record], nextCursor: 'a+b' });
    expect(await client.get(call, '1')).toEqual({ record, etag: '"7"' });
  });
});
