/** How a pod of each service is stopped, with its image, its user and the numbers of its manifest. */
import { execFile } from 'node:child_process';
import { Agent, request, type RequestOptions } from 'node:http';
import { setInterval, setTimeout } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { localApplications, localTenantId } from '@countersign/cli';
import {
  GenericContainer,
  Network,
  type StartedNetwork,
  type StartedTestContainer,
  Wait,
} from 'testcontainers';
import { Agent as TlsAgent, fetch } from 'undici';
import { drainOf, type Drain } from '../manifests/drain.ts';
import { workloadsOf } from '../manifests/manifest.ts';
import { canRender, exampleSite, render } from '../manifests/render.ts';
import { type EntraContainer, startEntraContainer, takeTokenFrom } from './entra-container.ts';

jest.setTimeout(300_000);

const run = promisify(execFile);
const records = `api://${localApplications.api1}/.default`;

/** Takes the milliseconds that the path ends with, or that a list of records is asked for as a name. */
const upstreamScript = `
  require('node:http').createServer(({ url }, response) => {
    const { pathname, searchParams } = new URL(url, 'http://slow');
    const delayMs = Number(searchParams.get('name') ?? pathname.split('/').at(-1));
    response.setHeader('content-type', 'application/json');
    setTimeout(() => response.end('[]'), delayMs);
  }).listen(8081)`;

const routes = `
upstreams: { slow: { addresses: ['http://slow:8081'] } }
routes: [{ path: /slow, upstream: slow, access: public }]
`;

let network: StartedNetwork;
let entra: EntraContainer;
let upstream: StartedTestContainer;
let token = '';
let secret = '';
let pods: StartedTestContainer[] = [];

beforeAll(async () => {
  network = await new Network().start();
  entra = await startEntraContainer('local-entra', network);
  secret = await entra.secret('api2');
  const dispatcher = new TlsAgent({ connect: { ca: entra.ca, servername: 'localhost' } });
  token = await takeTokenFrom(
    `https://127.0.0.1:${entra.container.getMappedPort(8443)}`,
    'api2',
    secret,
    (url, init) => fetch(url, { ...init, dispatcher }),
  );
  await dispatcher.close();
  upstream = await new GenericContainer('countersign/gateway')
    .withNetwork(network)
    .withNetworkAliases('slow')
    .withExposedPorts(8081)
    .withCommand(['node', '--eval', upstreamScript])
    .withWaitStrategy(Wait.forListeningPorts())
    .start();
});

afterAll(async () => {
  await Promise.all([...pods, upstream, entra?.container].map((container) => container?.stop()));
  await network?.stop();
});

interface Service {
  port: number;
  environment: Readonly<Record<string, string>>;
  command?: string[];
  /** What clients send all the time. */
  often: () => RequestOptions;
  /** Sends what takes so long to be answered. */
  long: (origin: string, ms: number) => Promise<number>;
}

const identity = {
  AZURE_AUTHORITY_HOST: 'https://local-entra:8443',
  AZURE_TENANT_ID: localTenantId,
  CA_FILE: '/tmp/ca.pem',
};

const services: Readonly<Record<string, Service>> = {
  gateway: {
    port: 8080,
    environment: { ROUTES_FILE: '/tmp/routes.yaml' },
    often: () => ({ path: '/slow/20' }),
    long: (origin, ms) => ask(origin, { path: `/slow/${ms}` }),
  },
  'caller-api': {
    port: 8082,
    environment: {
      ...identity,
      ACCESS_MODE: 'anonymous',
      AZURE_CLIENT_ID: localApplications.api2,
      AZURE_CLIENT_SECRET_FILE: '/tmp/secret',
      RECORDS_API_URL: 'http://slow:8081',
      RECORDS_API_SCOPE: records,
    },
    often: () => ({ path: '/caller/records?name=20' }),
    long: (origin, ms) => ask(origin, { path: `/caller/records?name=${ms}` }),
  },
  'records-api': {
    port: 8081,
    environment: { ...identity, API_CLIENT_ID: localApplications.api1, DATA_FOLDER: '/data' },
    command: ['sh', '-c', 'node dist/migrate.js && exec node dist/main.js'],
    often: () => ({ path: '/api/records', headers: { authorization: `Bearer ${token}` } }),
    // An import whose last line comes late.
    long: (origin, ms) =>
      ask(
        origin,
        {
          path: '/api/records/import',
          method: 'POST',
          headers: { authorization: `Bearer ${token}`, 'content-type': 'application/x-ndjson' },
        },
        async (send) => {
          const line = `${JSON.stringify({ name: 'n', description: 'd', date: '2026-01-01T00:00:00Z' })}\n`;
          send(line);
          await setTimeout(ms);
          send(line);
        },
      ),
  },
};

/** Resolves to the status of the answer once that is complete. */
const ask = (
  origin: string,
  options: RequestOptions,
  sendBody?: (send: (text: string) => void) => Promise<void>,
): Promise<number> =>
  new Promise((resolve, reject) => {
    const sent = request(origin, options, (response) => {
      response.resume();
      response.once('end', () => resolve(response.statusCode ?? 0));
      response.once('error', reject);
    });
    sent.once('error', reject);
    if (sendBody === undefined) sent.end();
    else sendBody((text) => sent.write(text)).then(() => sent.end(), reject);
  });

const startPod = (name: string, service: Service, drain: Drain): Promise<StartedTestContainer> => {
  const container = new GenericContainer(`countersign/${name}`)
    .withNetwork(network)
    .withExposedPorts(service.port)
    .withUser('10001:10001')
    .withDroppedCapabilities('ALL')
    .withSecurityOpt('no-new-privileges')
    .withCopyContentToContainer([
      { content: routes, target: '/tmp/routes.yaml' },
      { content: entra.ca, target: '/tmp/ca.pem' },
      { content: secret, target: '/tmp/secret' },
    ])
    .withEnvironment({
      ...service.environment,
      PORT: String(service.port),
      DRAIN_DELAY_MS: String(drain.delayMs),
      DRAIN_TIMEOUT_MS: String(drain.timeoutMs),
    })
    .withWaitStrategy(Wait.forHttp('/readyz', service.port));
  return (service.command ? container.withCommand(service.command) : container).start();
};

const objects = canRender() ? render('aks', { site: exampleSite }) : [];
const workloads = workloadsOf(objects).filter(({ object }) => object.kind === 'Deployment');

// The manifest's numbers are kubectl's to render.
const describeIfRendered = workloads.length > 0 ? describe : describe.skip;

describeIfRendered('a pod that is stopped', () => {
  test('is one of every service that the manifests have', () => {
    expect(workloads.map(({ object }) => object.metadata.name).toSorted()).toEqual(
      Object.keys(services).toSorted(),
    );
  });

  test.each(workloads)(
    '$object.metadata.name: readiness off, endpoints gone, requests in flight done, exit: none is lost',
    async (workload) => {
      const { name } = workload.object.metadata;
      const service = services[name];
      const [container] = workload.pod.containers;
      if (!service || !container?.readinessProbe) throw new Error(`nothing is known of ${name}`);
      const { periodSeconds = 0, failureThreshold = 0 } = container.readinessProbe;
      const drain = drainOf(objects, workload);
      const leaving = await startPod(name, service, drain);
      pods = [leaving];
      pods = [leaving, await startPod(name, service, drain)];
      const originOf = (pod: StartedTestContainer): string =>
        `http://127.0.0.1:${pod.getMappedPort(service.port)}`;
      const agent = new Agent({ keepAlive: true });

      // What sends to whichever pods are ready, as a load balancer does that goes by readiness alone.
      const endpoints = new Set(pods.map(originOf));
      const answers: number[] = [];
      const over = new AbortController();
      const client = async (): Promise<void> => {
        for (let turn = 0; !over.signal.aborted; turn += 1) {
          const origins = [...endpoints];
          const origin = origins[turn % origins.length] as string;
          // A request that is lost has no status.
          answers.push(await ask(origin, { ...service.often(), agent }).catch(() => 0));
        }
      };
      const clients = Array.from({ length: 8 }, client);

      try {
        // Begun before the stop, and longer than the whole delay.
        const inFlight = service.long(originOf(leaving), drain.delayMs + 3_000);
        const exit = run('docker', ['wait', leaving.getId()]);
        await ask(originOf(leaving), service.often());
        const stopMs = performance.now();
        await run('docker', ['kill', '--signal', 'TERM', leaving.getId()]);

        // The kubelet's probe, at the manifest's own pace.
        let failures = 0;
        for await (const origin of setInterval(periodSeconds * 1_000, originOf(leaving))) {
          failures = (await ask(origin, { path: '/readyz' })) === 200 ? 0 : failures + 1;
          if (failures >= failureThreshold) break;
        }
        endpoints.delete(originOf(leaving));
        const removedMs = performance.now() - stopMs;
        expect(removedMs).toBeLessThan(drain.delayMs);

        expect(await inFlight).toBe(200);
        const { stdout } = await exit;
        const stoppedMs = performance.now() - stopMs;
        over.abort();
        await Promise.all(clients);

        expect(stdout.trim()).toBe('0');
        expect(new Set(answers)).toEqual(new Set([200]));
        expect(answers.length).toBeGreaterThan(200);
        expect(stoppedMs).toBeGreaterThan(drain.delayMs);
        expect(drain.preStopMs + stoppedMs).toBeLessThan(drain.graceMs);
      } finally {
        over.abort();
        agent.destroy();
        await Promise.all(pods.map((pod) => pod.stop()));
        pods = [];
      }
    },
  );
});
