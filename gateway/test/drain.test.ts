import { once } from 'node:events';
import { Agent, get, type IncomingMessage, request } from 'node:http';
import { connect } from 'node:http2';
import { afterEach, expect, test } from '@jest/globals';
import { type GatewayProcess, runGateway } from './gateway-process.ts';
import { startUpstream, stopAll } from './start-gateway.ts';

afterEach(stopAll);

const tableTo = (address: string) => ({
  upstreams: { u: { addresses: [address] } },
  routes: [{ path: '/a', upstream: 'u', access: 'public' }],
});

interface Backend {
  gateway: GatewayProcess;
  url: string;
  agent: Agent;
  ready: boolean;
  answers: Record<string, number>;
}

const backendOf = async (gateway: GatewayProcess): Promise<Backend> => ({
  gateway,
  url: await gateway.url(),
  agent: new Agent({ keepAlive: true }),
  ready: true,
  answers: {},
});

/** The status of an answer that arrived whole, or why there is none. */
const ask = async (
  { url, agent }: Pick<Backend, 'url' | 'agent'>,
  path: string,
  body = '',
): Promise<string> => {
  try {
    const method = body === '' ? 'GET' : 'POST';
    const outgoing = request(url + path, { agent, method, headers: { 'content-length': body.length } });
    outgoing.end(body);
    const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
    for await (const _ of response);
    return String(response.statusCode);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'failed';
  }
};

/** What a load balancer does: asks each backend for its readiness, and sends requests to those that have it. */
const balance = (backends: readonly Backend[]) => {
  const stop = new AbortController();
  const probes = new Agent();
  let waiting: { count: number; resolve: () => void } | undefined;
  const probe = async (backend: Backend): Promise<void> => {
    while (!stop.signal.aborted && backend.ready)
      backend.ready = (await ask({ url: backend.url, agent: probes }, '/readyz')) === '200';
  };
  let turn = 0;
  const send = async (body: string): Promise<void> => {
    while (!stop.signal.aborted) {
      turn += 1;
      const ready = backends.filter((backend) => backend.ready);
      const backend = ready[turn % ready.length] as Backend;
      const outcome = await ask(backend, '/a', body);
      backend.answers[outcome] = (backend.answers[outcome] ?? 0) + 1;
      if (waiting && (waiting.count -= 1) <= 0) waiting.resolve();
    }
  };
  const work = [
    ...backends.map(probe),
    ...Array.from({ length: 24 }, (_, index) => send('x'.repeat((index % 3) * 20_000))),
  ];
  return {
    /** Resolves once so many more requests have been answered. */
    answered: (count: number): Promise<void> =>
      new Promise((resolve) => {
        waiting = { count, resolve };
      }),
    async end() {
      stop.abort();
      await Promise.all(work);
      for (const { agent } of backends) agent.destroy();
    },
  };
};

test('SIGTERM under load: a load balancer moves on, and not one request fails', async () => {
  let count = 0;
  const origin = await startUpstream((incoming, outgoing) => {
    count += 1;
    // Some answers take a while, so that requests are in flight at any time.
    const delayMs = count % 10;
    incoming.resume().once('end', () => setTimeout(() => outgoing.end('ok'), delayMs));
  });
  await using first = runGateway(tableTo(origin), { DRAIN_DELAY_MS: '1000' });
  await using second = runGateway(tableTo(origin));
  const [leaving, staying] = await Promise.all([backendOf(first), backendOf(second)]);
  const load = balance([leaving, staying]);
  await load.answered(500);
  first.child.kill('SIGTERM');
  expect(await first.exitCode).toBe(0);
  await load.answered(500);
  await load.end();
  expect(leaving.ready).toBe(false);
  expect(Object.keys(leaving.answers)).toEqual(['200']);
  expect(Object.keys(staying.answers)).toEqual(['200']);
  expect(first.records.map(({ msg }) => msg)).not.toContain('request aborted');
  expect(first.records.at(-1)).toMatchObject({ msg: 'stopped' });
}, 30_000);

test('an answer that is given while the gateway drains closes its connection, also after Expect: 100-continue', async () => {
  const origin = await startUpstream((incoming, outgoing) => {
    incoming.resume().once('end', () => outgoing.end('ok'));
  });
  await using gateway = runGateway(tableTo(origin), { DRAIN_DELAY_MS: '1500' });
  const url = await gateway.url();
  gateway.child.kill('SIGTERM');
  await gateway.logged('stopping');
  const agent = new Agent({ keepAlive: true });
  const plain = get(`${url}/a`, { agent });
  expect(((await once(plain, 'response')) as [IncomingMessage])[0].resume().headers.connection).toBe('close');
  const asking = request(`${url}/a`, { agent, method: 'POST', headers: { expect: '100-continue' } });
  asking.once('continue', () => asking.end('abc'));
  asking.flushHeaders();
  expect(((await once(asking, 'response')) as [IncomingMessage])[0].resume().headers.connection).toBe(
    'close',
  );
  expect(await gateway.exitCode).toBe(0);
}, 15_000);

test('over HTTP/2: streams in flight end, sessions are closed, exit 0', async () => {
  let release = (): void => {};
  const arrived = Promise.withResolvers<void>();
  const origin = await startUpstream((_request, response) => {
    release = () => response.end('ok');
    arrived.resolve();
  });
  await using gateway = runGateway(tableTo(origin), { PROTOCOL: 'h2c' });
  const session = connect(await gateway.url());
  const stream = session.request({ ':path': '/a' });
  await arrived.promise;
  gateway.child.kill('SIGTERM');
  await gateway.logged('stopping');
  const closed = once(session, 'close');
  release();
  let text = '';
  for await (const chunk of stream) text += String(chunk);
  expect(text).toBe('ok');
  await closed;
  expect(await gateway.exitCode).toBe(0);
}, 15_000);
