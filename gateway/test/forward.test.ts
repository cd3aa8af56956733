import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type RequestListener } from 'node:http';
import { afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { createHttp1Transport } from '../src/transport/http1-transport.ts';
import { createUndiciTransport } from '../src/transport/undici-transport.ts';
import { listenOn, startGateway as start, startUpstream, stopAll, whenTrue } from './start-gateway.ts';

afterEach(stopAll);

/** A gateway before one upstream, which all paths below /api go to. */
const startGateway = async (upstream: RequestListener | string, routeSettings = {}): Promise<string> => {
  const origin = typeof upstream === 'string' ? upstream : await startUpstream(upstream);
  const route = { path: '/api', upstream: 'records-api', access: 'public', ...routeSettings };
  const table = { upstreams: { 'records-api': { addresses: [origin] } }, routes: [route] };
  const { url } = await start({ table, createTransport });
  return url;
};

const echo: RequestListener = (incoming, outgoing) => {
  outgoing.writeHead(200, { 'content-type': 'application/json' });
  outgoing.end(JSON.stringify({ url: incoming.url, headers: incoming.headers }));
};

/** Sends headers that fetch would not. */
const rawGet = async (url: string, headers: Record<string, string>): Promise<IncomingMessage> => {
  const [response] = (await once(request(url, { headers }).end(), 'response')) as [IncomingMessage];
  return response;
};

const json = async (response: IncomingMessage): Promise<{ url: string; headers: Record<string, string> }> => {
  let text = '';
  for await (const chunk of response) text += String(chunk);
  return JSON.parse(text) as { url: string; headers: Record<string, string> };
};

const transports = { http1: createHttp1Transport, undici: createUndiciTransport };
let createTransport = createHttp1Transport;

describe.each(['http1', 'undici'] as const)('over %s', (transport) => {
  beforeAll(() => {
    createTransport = transports[transport];
  });

  describe('headers', () => {
    test('the upstream gets its own host, the client by X-Forwarded, the trace with the gateway as parent', async () => {
      const url = await startGateway(echo);
      const response = await rawGet(`${url}/api/records?limit=2`, {
        host: 'gateway.example',
        'x-request-id': 'request-0001',
        traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
        authorization: 'Bearer token',
      });
      const seen = await json(response);
      expect(seen.url).toBe('/api/records?limit=2');
      expect(seen.headers).toMatchObject({
        'x-forwarded-for': '127.0.0.1',
        'x-forwarded-host': 'gateway.example',
        'x-forwarded-proto': 'http',
        'x-request-id': 'request-0001',
        traceparent: expect.stringMatching(
          /^00-4bf92f3577b34da6a3ce929d0e0e4736-(?!00f067aa0ba902b7)[0-9a-f]{16}-01$/,
        ),
        authorization: 'Bearer token',
      });
      expect(seen.headers['host']).toMatch(/^127\.0\.0\.1:/);
      expect(response.headers['x-request-id']).toBe('request-0001');
    });

    test('what only the gateway may say, and what ends at this hop, does not pass', async () => {
      const url = await startGateway(echo);
      const dropped = {
        'x-forwarded-for': '10.0.0.1',
        forwarded: 'for=10.0.0.1',
        'x-real-ip': '10.0.0.1',
        'x-ms-client-principal-id': 'somebody',
        x_forwarded_for: '10.0.0.1',
        'x-original-url': '/admin',
        te: 'trailers',
        'proxy-authorization': 'Basic x',
        'x-named': 'by connection',
      };
      const { headers } = await json(
        await rawGet(`${url}/api`, {
          ...dropped,
          connection: 'keep-alive, x-named',
          authorization: 'Bearer t',
        }),
      );
      const { 'x-forwarded-for': forwardedFor, forwarded, ...rest } = headers;
      expect(forwardedFor).toBe('127.0.0.1');
      expect(forwarded).toMatch(/^for=127\.0\.0\.1;host="127\.0\.0\.1:\d+";proto=http$/);
      expect(Object.keys(rest).filter((name) => name in dropped)).toEqual([]);
      expect(headers['authorization']).toBe('Bearer t');
    });

    test.each([
      'Authorization',
      'Content-Length',
      'Content-Type',
      'Cookie',
      'Host',
      'traceparent',
      'X-Request-Id',
    ])('Connection cannot take away what belongs to the whole way: %s', async (name) => {
      let asked = 0;
      const url = await startGateway((_request, response) => response.end(String((asked += 1))));
      for (const connection of [name.toLowerCase(), `keep-alive, ${name}`]) {
        const outgoing = request(`${url}/api`, { method: 'POST', headers: { connection } });
        const [response] = (await once(outgoing.end('abc'), 'response')) as [IncomingMessage];
        expect(response.statusCode).toBe(400);
        response.resume();
      }
      expect(asked).toBe(0);
    });

    test('of answers: repeated ones stay apart, those of the hop do not pass', async () => {
      const url = await startGateway((_request, response) => {
        const cookies = ['Set-Cookie', 'a=1', 'Set-Cookie', 'b=2'];
        const ofThisHop = ['Connection', 'X-Hop', 'X-Hop', '1', 'Keep-Alive', 'timeout=99'];
        response.writeHead(201, [...cookies, ...ofThisHop, 'X-Request-Id', 'of-the-upstream', 'ETag', '"1"']);
        response.end();
      });
      const response = await rawGet(`${url}/api`, { 'x-request-id': 'request-0001' });
      expect(response.statusCode).toBe(201);
      expect(response.headers['set-cookie']).toEqual(['a=1', 'b=2']);
      expect(response.headers).toMatchObject({ etag: '"1"', 'x-request-id': 'request-0001' });
      expect(response.headers).not.toHaveProperty('x-hop');
      expect(response.headers['keep-alive']).not.toBe('timeout=99');
    });
  });

  describe('bodies', () => {
    test('stream both ways at once', async () => {
      const url = await startGateway((incoming, outgoing) => incoming.pipe(outgoing));
      const outgoing = request(`${url}/api`, { method: 'POST', headers: { 'transfer-encoding': 'chunked' } });
      outgoing.write('first');
      const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
      expect(String((await once(response, 'data'))[0])).toBe('first');
      outgoing.write('second');
      expect(String((await once(response, 'data'))[0])).toBe('second');
      outgoing.end();
      await once(response, 'end');
    });

    test('10 MB arrive whole', async () => {
      const url = await startGateway((incoming, outgoing) => incoming.pipe(outgoing));
      const body = Buffer.alloc(10 * 1024 * 1024, 'countersign');
      const response = await fetch(`${url}/api`, { method: 'POST', body });
      expect(Buffer.from(await response.arrayBuffer()).equals(body)).toBe(true);
    });

    test('HEAD, 204 and 304 have none', async () => {
      const url = await startGateway((incoming, outgoing) => {
        outgoing.writeHead(Number(incoming.url?.slice(5)), { 'content-type': 'text/plain' }).end();
      });
      expect((await fetch(`${url}/api/200`, { method: 'HEAD' })).status).toBe(200);
      expect((await fetch(`${url}/api/204`)).status).toBe(204);
      expect((await fetch(`${url}/api/304`)).status).toBe(304);
    });
  });

  describe('when one side fails', () => {
    test('an upstream that refuses connections: 502, also for a request with a body', async () => {
      const server = createServer();
      const origin = await listenOn(server);
      server.close();
      const url = await startGateway(origin);
      for (const init of [{}, { method: 'POST', body: 'x'.repeat(100_000) }]) {
        const response = await fetch(`${url}/api`, init);
        expect(response.status).toBe(502);
        expect(await response.json()).toMatchObject({ code: 'upstream_unreachable' });
      }
    });

    test('an upstream that says nothing: 504', async () => {
      const url = await startGateway(() => undefined, { timeouts: { headMs: 50 } });
      const response = await fetch(`${url}/api`);
      expect(response.status).toBe(504);
      expect(await response.json()).toMatchObject({ code: 'upstream_timeout' });
    });

    test('an upstream that dies in the middle of its answer: the client sees a broken connection, never an end', async () => {
      const url = await startGateway((_request, response) => {
        response.writeHead(200, { 'transfer-encoding': 'chunked' });
        response.write('half', () => response.destroy());
      });
      const response = await fetch(`${url}/api`);
      expect(response.status).toBe(200);
      await expect(response.text()).rejects.toThrow();
    });

    test('a client that goes away cancels the work of the upstream', async () => {
      const controller = new AbortController();
      let cancelled = (_value: unknown): void => {};
      const cancellation = new Promise((resolve) => {
        cancelled = resolve;
      });
      const url = await startGateway((_request, response) => {
        response.once('close', () => cancelled(response.writableFinished));
        controller.abort();
      });
      await expect(fetch(`${url}/api`, { signal: controller.signal })).rejects.toThrow();
      expect(await cancellation).toBe(false);
      // And the next request is served.
      const next = fetch(`${url}/nothing`);
      expect((await next).status).toBe(404);
    });
  });

  test('the record of a request names the address that answered it', async () => {
    const addresses = await Promise.all(
      [1, 2].map(() => startUpstream(({ headers }, response) => response.end(`http://${headers.host}`))),
    );
    const { url, records } = await start({
      createTransport,
      table: {
        upstreams: { u: { addresses } },
        routes: [{ path: '/api', upstream: 'u', access: 'public' }],
      },
    });
    const answered: string[] = [];
    for (let count = 1; count <= 4; count += 1) {
      const address = await (await fetch(`${url}/api`)).text();
      await whenTrue(() => records.length === count);
      expect(records.at(-1)).toMatchObject({ upstream_address: address });
      answered.push(address);
    }
    expect(new Set(answered)).toEqual(new Set(addresses));
  });
});
