import { once } from 'node:events';
import { createServer, get, type IncomingMessage, type ServerResponse } from 'node:http';
import { connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { afterEach, describe, expect, test } from '@jest/globals';
import { createMetrics } from '@countersign/service-kit/metrics';
import { createGatewayMetrics } from '../src/admin/metrics.ts';
import { createRecentRequests } from '../src/admin/recent-requests.ts';
import { runGateway } from './gateway-process.ts';
import {
  type GatewaySettings,
  listenOn,
  startGateway,
  startUpstream,
  stopAll,
  whenTrue,
} from './start-gateway.ts';

afterEach(stopAll);

/** An upstream that switches and sends back what it gets. */
const startEcho = async (): Promise<{ origin: string; closed: Promise<unknown> }> => {
  const server = createServer((_request, response) => response.end('plain'));
  const closed = new Promise((resolve) => {
    server.on('upgrade', (request: IncomingMessage, socket: Duplex) => {
      socket.write(
        `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX-Origin: ${request.headers.origin ?? 'none'}\r\n\r\nhello `,
      );
      socket.pipe(socket);
      socket.once('close', resolve);
    });
  });
  return { origin: await listenOn(server), closed };
};

/** An upstream that answers when it is told to. */
const startHolding = async (): Promise<{ origin: string; waiting: ServerResponse[] }> => {
  const waiting: ServerResponse[] = [];
  const origin = await startUpstream((_request, response) => void waiting.push(response));
  return { origin, waiting };
};

const startFor = (
  addresses: string | string[],
  route: object = { webSocket: true },
  measureWith?: GatewaySettings['measureWith'],
  clientIdleMs?: number,
) =>
  startGateway({
    table: {
      upstreams: { u: { addresses: [addresses].flat() } },
      routes: [{ path: '/ws', upstream: 'u', access: 'public', ...route }],
    },
    measureWith,
    clientIdleMs,
  });

const askToSwitch = (url: string, headers: Record<string, string> = {}) =>
  get(`${url}/ws/chat`, { headers: { connection: 'Upgrade', upgrade: 'websocket', ...headers } });

describe('a WebSocket', () => {
  test('passes both ways, and ends at the upstream when the client goes', async () => {
    const { origin, closed } = await startEcho();
    const { url, table, records } = await startFor(origin);
    const [response, socket, head] = (await once(askToSwitch(url), 'upgrade')) as [
      IncomingMessage,
      Duplex,
      Buffer,
    ];
    expect(response.headers).toMatchObject({ upgrade: 'websocket', 'x-origin': 'none' });
    let text = head.toString();
    socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
    socket.write('world');
    await whenTrue(() => text === 'hello world');
    expect(table.upstreams.get('u')?.state()).toMatchObject({ inFlight: 1 });
    socket.destroy();
    await closed;
    await whenTrue(() => table.upstreams.get('u')?.state().inFlight === 0);
    const [switched, over] = records;
    expect(switched).toMatchObject({
      msg: 'request completed',
      'http.response.status_code': 101,
      upstream_address: origin,
    });
    expect(over).toMatchObject({ msg: 'WebSocket closed', request_id: switched?.['request_id'] });
  });

  test('is counted as 101, with the time until it has switched', async () => {
    const { origin } = await startEcho();
    const metrics = createMetrics({ name: 'gateway', version: '0' });
    const recent = createRecentRequests(() => 0);
    const { url } = await startFor(origin, { webSocket: true }, (table) =>
      createGatewayMetrics({ metrics, table, verifiers: new Map(), recent }),
    );
    const [, socket] = (await once(askToSwitch(url), 'upgrade')) as [IncomingMessage, Duplex];
    // While it is open.
    const text = await metrics.text('prometheus');
    expect(text).toMatch(
      /^http_server_request_duration_seconds_count\{.*http_response_status_code="101".*\} 1$/m,
    );
    expect(recent.errors()).toEqual([]);
    socket.destroy();
  });

  test('goes to an address that can be reached, where another cannot', async () => {
    const { origin } = await startEcho();
    const { url, table } = await startFor(['http://127.0.0.1:9', origin]);
    for (let count = 0; count < 4; count += 1) {
      const [response, socket] = (await once(askToSwitch(url), 'upgrade')) as [IncomingMessage, Duplex];
      expect(response.statusCode).toBe(101);
      socket.destroy();
    }
    await whenTrue(() => table.upstreams.get('u')?.state().inFlight === 0);
  });

  test('gives its place back when its client is gone before its turn comes', async () => {
    const { origin, waiting } = await startHolding();
    const { url, table } = await startGateway({
      table: {
        upstreams: { u: { addresses: [origin], maxInFlight: 1 } },
        routes: [{ path: '/ws', upstream: 'u', access: 'public', webSocket: true }],
      },
    });
    const state = () => table.upstreams.get('u')?.state();
    const first = fetch(`${url}/ws/plain`);
    await whenTrue(() => waiting.length === 1);
    const client = connect(Number(new URL(url).port), '127.0.0.1');
    client.write(
      'GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n',
    );
    await whenTrue(() => state()?.queued === 1);
    client.resetAndDestroy();
    await whenTrue(() => state()?.queued === 0);
    waiting[0]?.end();
    expect((await first).status).toBe(200);
    await whenTrue(() => state()?.inFlight === 0);
  });

  test.each([
    ['403', 403, ''],
    ['101', 101, 'Upgrade: websocket\r\nConnection: Upgrade\r\n'],
  ])('that is answered %s: the route says what goes on, as for any answer', async (_, status, more) => {
    const server = createServer();
    server.on('upgrade', (_request, socket: Duplex) =>
      socket.end(
        `HTTP/1.1 ${status} Answer\r\n${more}X-Internal: secret\r\nAccess-Control-Allow-Origin: *\r\n\r\n`,
      ),
    );
    const { url } = await startFor(await listenOn(server), {
      webSocket: true,
      responseHeaders: { strip: ['x-internal'], set: { 'x-set': 'here' } },
      rateLimit: { requests: 5, perSeconds: 60, by: 'address' },
      cors: { origins: ['https://page.example'] },
    });
    const outgoing = askToSwitch(url, { origin: 'https://page.example' });
    const [response] = (await Promise.race([once(outgoing, 'response'), once(outgoing, 'upgrade')])) as [
      IncomingMessage,
    ];
    expect(response.statusCode).toBe(status);
    expect(response.headers).toMatchObject({
      'x-set': 'here',
      'x-request-id': expect.any(String),
      'access-control-allow-origin': 'https://page.example',
      ratelimit: expect.any(String),
    });
    expect(response.headers).not.toHaveProperty('x-internal');
    outgoing.destroy();
  });

  test('that is refused at length does not leave the upstream out', async () => {
    const { url, table } = await startFor(
      await startUpstream((_request, response) => response.end('x'.repeat(100_000))),
    );
    for (let count = 0; count < 6; count += 1) {
      const [response] = (await once(askToSwitch(url), 'response')) as [IncomingMessage];
      expect(response.statusCode).toBe(502);
      response.resume();
    }
    expect(table.upstreams.get('u')?.state().endpoints).toMatchObject([{ state: 'available' }]);
  });

  test('waits for its upstream as long as the route says, whatever the idle time of clients', async () => {
    const server = createServer();
    const asked = once(server, 'upgrade') as Promise<[IncomingMessage, Duplex]>;
    const { url } = await startFor(await listenOn(server), { webSocket: true }, undefined, 50);
    const answered = once(askToSwitch(url), 'upgrade') as Promise<[IncomingMessage, Duplex]>;
    const [, upstream] = await asked;
    // Others, that came later and say nothing, are cut off meanwhile.
    for (let count = 0; count < 3; count += 1) {
      const idle = connect(Number(new URL(url).port), '127.0.0.1').resume();
      await once(idle, 'close');
    }
    upstream.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n');
    const [response, socket] = await answered;
    expect(response.statusCode).toBe(101);
    socket.destroy();
  });

  test('on which neither side says anything for idleMs is closed, on both sides; one that is in use is not', async () => {
    const { origin, closed } = await startEcho();
    const { url, table } = await startFor(origin, { webSocket: true, timeouts: { idleMs: 600 } });
    const [, socket] = (await once(askToSwitch(url), 'upgrade')) as [IncomingMessage, Duplex];
    let echoes = 0;
    socket.on('data', () => (echoes += 1));
    const startMs = performance.now();
    const use = setInterval(() => socket.write('x'), 100);
    await whenTrue(() => performance.now() - startMs > 1_500);
    clearInterval(use);
    expect(echoes).toBeGreaterThan(5);
    expect(socket.destroyed).toBe(false);
    await Promise.all([closed, once(socket, 'close')]);
    await whenTrue(() => table.upstreams.get('u')?.state().inFlight === 0);
  });

  test.each(['end', 'destroy'] as const)(
    'that the upstream has not answered ends there when its client goes, by %s',
    async (leave) => {
      const server = createServer();
      const asked = once(server, 'upgrade') as Promise<[IncomingMessage, Duplex]>;
      const { url, table } = await startFor(await listenOn(server));
      const client = connect(Number(new URL(url).port), '127.0.0.1');
      client.write(
        'GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n',
      );
      const [, upstream] = await asked;
      const closed = once(upstream.resume(), 'end');
      client[leave]();
      await closed;
      await whenTrue(() => table.upstreams.get('u')?.state().inFlight === 0);
      expect(table.upstreams.get('u')?.state().endpoints).toMatchObject([{ failuresInARow: 0 }]);
      client.destroy();
    },
  );

  test('gets what its client sent before the upstream had switched', async () => {
    const server = createServer();
    const asked = once(server, 'upgrade') as Promise<[IncomingMessage, Duplex]>;
    const { url } = await startFor(await listenOn(server));
    const client = connect(Number(new URL(url).port), '127.0.0.1');
    let text = '';
    client.on('data', (chunk: Buffer) => (text += chunk.toString()));
    client.write(
      'GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n',
    );
    const [, upstream] = await asked;
    await new Promise((resolve) => client.write('early', resolve));
    upstream.pipe(upstream);
    upstream.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n');
    await whenTrue(() => text.endsWith('early'));
    client.write(' and late');
    await whenTrue(() => text.endsWith('late'));
    expect(text.split('\r\n').at(-1)).toBe('early and late');
    client.destroy();
  });

  test('does not hold up a stop', async () => {
    const { origin, closed } = await startEcho();
    await using gateway = runGateway(
      {
        upstreams: { u: { addresses: [origin] } },
        routes: [{ path: '/ws', upstream: 'u', access: 'public', webSocket: true }],
      },
      { DRAIN_TIMEOUT_MS: '60000' },
    );
    const [, socket] = (await once(askToSwitch(await gateway.url()), 'upgrade')) as [IncomingMessage, Duplex];
    socket.on('error', () => undefined).resume();
    gateway.child.kill('SIGTERM');
    expect(await gateway.exitCode).toBe(0);
    await closed;
    expect(gateway.records.map(({ msg }) => msg)).not.toContain(
      'requests in flight were cut off: the drain timeout has passed',
    );
  });

  test('is not opened for a page of another origin', async () => {
    const { origin } = await startEcho();
    const { url } = await startFor(origin);
    const [response] = (await once(askToSwitch(url, { origin: 'https://evil.example' }), 'response')) as [
      IncomingMessage,
    ];
    expect(response.statusCode).toBe(403);
    response.resume();
  });

  test('is not opened on a route that does not say so: the request is answered as a plain one', async () => {
    const { origin } = await startEcho();
    const { url } = await startFor(origin, {});
    const [response] = (await once(askToSwitch(url), 'response')) as [IncomingMessage];
    expect(response.statusCode).toBe(200);
    expect(String((await once(response, 'data'))[0])).toBe('plain');
  });

  test('that the upstream refuses or cannot be asked for is answered', async () => {
    const refuses = createServer();
    refuses.on('upgrade', (_request, socket: Duplex) =>
      socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno'),
    );
    const { url } = await startFor(await listenOn(refuses));
    const [response] = (await once(askToSwitch(url), 'response')) as [IncomingMessage];
    expect(response.statusCode).toBe(403);
    expect(String((await once(response, 'data'))[0])).toBe('no');

    const gone = createServer();
    const origin = await listenOn(gone);
    gone.close();
    const other = await startFor(origin);
    const [failed] = (await once(askToSwitch(other.url), 'response')) as [IncomingMessage];
    expect(failed.statusCode).toBe(502);
    failed.resume();
  });
});
