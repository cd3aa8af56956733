import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  accessLog,
  createLogger,
  health,
  problemDetails,
  ProblemError,
  type Readiness,
  requestContext,
  type ServiceState,
} from '@countersign/service-kit';
import { afterEach, describe, expect, test } from '@jest/globals';
import Koa, { type Middleware } from 'koa';

type LogRecord = Record<string, unknown> & { err?: Record<string, unknown> };

let server: Server | undefined;
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

/** A service whose one route is `route`; `completed` resolves with all records once its completion record is there. */
const startService = async (route: Middleware<ServiceState>, readiness: Readiness = { accepting: true }) => {
  const records: LogRecord[] = [];
  let complete = (): void => {};
  const completed = new Promise<LogRecord[]>((resolve) => {
    complete = () => resolve(records);
  });
  const logger = createLogger({
    name: 'test-service',
    version: '1.2.3',
    destination: {
      write: (line) => {
        const record = JSON.parse(line) as LogRecord;
        records.push(record);
        if (record['duration_ms'] !== undefined) complete();
      },
    },
  });
  const app = new Koa<ServiceState>();
  let storeFails = false;
  app.use(health(readiness, { store: () => (storeFails ? Promise.reject(new Error('down')) : undefined) }));
  app.use(requestContext(logger));
  app.use(accessLog);
  app.use(problemDetails());
  app.use(route);
  server = createServer(app.callback());
  await new Promise<void>((resolve) => {
    server?.listen(0, '127.0.0.1', resolve);
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { url, completed, records, failStore: () => (storeFails = true) };
};

describe('problem documents', () => {
  test('an error with a status of its own says code, detail, headers and members; the log says more', async () => {
    const { url, completed } = await startService(() => {
      throw new ProblemError('Try later.', {
        status: 503,
        code: 'identity_unavailable',
        headers: { 'Retry-After': '5' },
        members: { downstream: { status: 500 } },
        logFields: { upstream: 'entra' },
        cause: new Error('connect ECONNREFUSED'),
      });
    });
    const response = await fetch(url, { headers: { 'x-request-id': 'request-0001' } });
    expect(response.status).toBe(503);
    expect(response.headers.get('retry-after')).toBe('5');
    expect(response.headers.get('cache-control')).toBe('no-store');
    expect(response.headers.get('content-type')).toBe('application/problem+json');
    expect(await response.json()).toEqual({
      title: 'Service Unavailable',
      status: 503,
      code: 'identity_unavailable',
      detail: 'Try later.',
      requestId: 'request-0001',
      downstream: { status: 500 },
    });
    const [failure, completion] = await completed;
    expect(failure).toMatchObject({ level: 'error', err: { cause: { message: 'connect ECONNREFUSED' } } });
    expect(completion).toMatchObject({
      level: 'error',
      'error.type': 'identity_unavailable',
      upstream: 'entra',
    });
  });

  test('an error without one is a 500 that lends neither its code nor its message', async () => {
    const { url, completed } = await startService(() => {
      throw Object.assign(new Error('secret detail'), { code: 'ECONNREFUSED', headers: { 'X-Leak': '1' } });
    });
    const response = await fetch(url);
    expect(response.status).toBe(500);
    expect(await response.json()).toEqual({
      title: 'Internal Server Error',
      status: 500,
      code: 'internal_server_error',
      requestId: response.headers.get('x-request-id'),
    });
    expect((await completed)[0]?.err?.['stack']).toContain('secret detail');
  });

  test.each([
    [404, 'not_found'],
    [405, 'method_not_allowed'],
    [422, 'invalid_request'],
  ])('a bare status %i becomes a document', async (status, code) => {
    const { url } = await startService((ctx) => {
      ctx.status = status;
    });
    const response = await fetch(`${url}/some/where?token=x`);
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({ status, code });
  });
});

describe('the log', () => {
  test('has one completion record per request, without the query', async () => {
    const { url, completed } = await startService((ctx) => {
      ctx.state.logFields['azp'] = 'application';
      ctx.body = 'ok';
    });
    await fetch(`${url}/path?secret=1`, {
      headers: { traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01' },
    });
    expect(await completed).toEqual([
      {
        level: 'info',
        time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
        pid: process.pid,
        'service.name': 'test-service',
        'service.version': '1.2.3',
        request_id: expect.any(String),
        trace_id: '4bf92f3577b34da6a3ce929d0e0e4736',
        span_id: expect.stringMatching(/^[0-9a-f]{16}$/),
        parent_span_id: '00f067aa0ba902b7',
        trace_flags: '01',
        start: expect.stringMatching(/Z$/),
        duration_ms: expect.any(Number),
        'http.request.method': 'GET',
        'url.path': '/path',
        'http.response.status_code': 200,
        azp: 'application',
        msg: 'request completed',
      },
    ]);
  });

  test.each([
    'a "quoted" back\\slash',
    'line\nbreak, tab\t and \0 and \u001f',
    'DEL \u007f, é, 日本, 🙂 and \u2028',
    '',
    0.1,
    -0,
    1e21,
    true,
    null,
    { deep: ['"'] },
  ])('encodes a field of %j, in its value and in its name', async (value) => {
    const name = `name of ${JSON.stringify(value)}`;
    const { url, completed } = await startService((ctx) => {
      ctx.state.logFields[name] = value;
      ctx.body = 'ok';
    });
    await fetch(url);
    const [record] = await completed;
    expect(record?.[name]).toEqual(JSON.parse(JSON.stringify(value)));
  });

  test.each([NaN, Infinity])('says %s as JSON does, by null', async (value) => {
    const { url, completed } = await startService((ctx) => {
      ctx.state.logFields['number'] = value;
      ctx.body = 'ok';
    });
    await fetch(url);
    expect(await completed).toMatchObject([{ number: null }]);
  });

  const cyclic: Record<string, unknown> = {};
  cyclic['self'] = cyclic;
  test.each([
    ['a BigInt', 12n, '12'],
    ['a cycle', cyclic, '[object Object]'],
    ['a function', () => 1, null],
    ['a symbol', Symbol('s'), null],
  ])('survives %s, which JSON does not know', async (_, value, expected) => {
    const { url, completed } = await startService((ctx) => {
      ctx.state.logFields['field'] = value;
      ctx.body = 'ok';
    });
    await fetch(url);
    expect(await completed).toMatchObject([{ field: expected, 'http.response.status_code': 200 }]);
  });

  test('keeps tokens and the requests that errors carry out', async () => {
    const { url, completed } = await startService(() => {
      throw Object.assign(new Error('failed with eyJhbGciOiJSUzI1NiJ9.eyJhIjoxfQ.c2ln in the text'), {
        options: { headers: { authorization: 'Bearer secret' } },
      });
    });
    await fetch(url);
    const text = JSON.stringify(await completed);
    expect(text).toContain('failed with [token] in the text');
    expect(text).not.toContain('eyJ');
    expect(text).not.toContain('Bearer secret');
  });

  test('tells an answer that the client did not wait for', async () => {
    const controller = new AbortController();
    const { url, completed } = await startService(async (ctx) => {
      controller.abort();
      await new Promise((resolve) => {
        ctx.req.socket.once('close', resolve);
      });
      ctx.body = 'too late';
    });
    await expect(fetch(url, { signal: controller.signal })).rejects.toThrow();
    expect(await completed).toMatchObject([{ aborted: true, msg: 'request aborted' }]);
  });
});

describe('health', () => {
  test('is live always, ready while every check passes and it accepts work', async () => {
    const readiness = { accepting: true };
    const { url, failStore, records } = await startService((ctx) => ctx.throw(418), readiness);
    const ready = async () => {
      const response = await fetch(`${url}/readyz`);
      return { status: response.status, body: await response.json() };
    };
    expect(await ready()).toEqual({ status: 200, body: { status: 'ready' } });
    failStore();
    readiness.accepting = false;
    expect(await ready()).toEqual({
      status: 503,
      body: { status: 'not ready', failed: ['draining', 'store'] },
    });
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
    expect(records).toEqual([]);
  });
});
