/** How a pod of the gateway is stopped, with its image, its user and the numbers of its manifest. */
import { execFile } from 'node:child_process';
import { Agent, get } from 'node:http';
import { setInterval } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import {
  GenericContainer,
  Network,
  type StartedNetwork,
  type StartedTestContainer,
  Wait,
} from 'testcontainers';
import { drainOf } from '../manifests/drain.ts';
import { workloadsOf } from '../manifests/manifest.ts';
import { canRender, exampleSite, render } from '../manifests/render.ts';

jest.setTimeout(300_000);

const run = promisify(execFile);
const image = 'countersign/gateway';

/** Answers when as many milliseconds have passed as the path says. */
const upstreamScript = `
  require('node:http')
    .createServer((request, response) => setTimeout(() => response.end('done'), Number(request.url.split('/').at(-1))))
    .listen(8081)`;

const routes = `
upstreams: { slow: { addresses: ['http://slow:8081'] } }
routes: [{ path: /slow, upstream: slow, access: public }]
`;

let network: StartedNetwork;
let upstream: StartedTestContainer;
let pods: StartedTestContainer[] = [];

beforeAll(async () => {
  network = await new Network().start();
  upstream = await new GenericContainer(image)
    .withNetwork(network)
    .withNetworkAliases('slow')
    .withExposedPorts(8081)
    .withCommand(['node', '--eval', upstreamScript])
    .withWaitStrategy(Wait.forListeningPorts())
    .start();
});

afterAll(async () => {
  await Promise.all([...pods, upstream].map((container) => container?.stop()));
  await network?.stop();
});

const objects = canRender() ? render('aks', { site: exampleSite }) : [];
const workload = workloadsOf(objects).find(({ object }) => object.metadata.name === 'gateway');

const startPod = (drain: ReturnType<typeof drainOf>): Promise<StartedTestContainer> =>
  new GenericContainer(image)
    .withNetwork(network)
    .withExposedPorts(8080)
    .withUser('10001:10001')
    .withDroppedCapabilities('ALL')
    .withSecurityOpt('no-new-privileges')
    .withCopyContentToContainer([{ content: routes, target: '/tmp/routes.yaml' }])
    .withEnvironment({
      PORT: '8080',
      ROUTES_FILE: '/tmp/routes.yaml',
      DRAIN_DELAY_MS: String(drain.delayMs),
      DRAIN_TIMEOUT_MS: String(drain.timeoutMs),
    })
    .withWaitStrategy(Wait.forHttp('/readyz', 8080))
    .start();

const ask = (url: string, agent?: Agent): Promise<number> =>
  new Promise((resolve, reject) => {
    get(url, agent ? { agent } : {}, (response) => {
      response.resume();
      response.once('end', () => resolve(response.statusCode ?? 0));
    }).once('error', reject);
  });

// The manifest's numbers are kubectl's to render.
const describeIfRendered = workload ? describe : describe.skip;

describeIfRendered('a pod that is stopped', () => {
  test('readiness off, endpoints gone, requests in flight done, exit: none is lost', async () => {
    const [container] = workload?.pod.containers ?? [];
    if (!workload || !container?.readinessProbe) throw new Error('the manifest has no readiness probe');
    const { periodSeconds = 0, failureThreshold = 0 } = container.readinessProbe;
    const drain = drainOf(objects, workload);
    const leaving = await startPod(drain);
    pods = [leaving, await startPod(drain)];
    const addressOf = (pod: StartedTestContainer): string => `http://127.0.0.1:${pod.getMappedPort(8080)}`;
    const agent = new Agent({ keepAlive: true });

    // What sends to whichever pods are ready, as a load balancer does that goes by readiness alone.
    const endpoints = new Set(pods.map(addressOf));
    const answers: number[] = [];
    const over = new AbortController();
    const client = async (): Promise<void> => {
      for (let turn = 0; !over.signal.aborted; turn += 1) {
        const addresses = [...endpoints];
        // A request that is lost has no status.
        answers.push(await ask(`${addresses[turn % addresses.length]}/slow/20`, agent).catch(() => 0));
      }
    };
    const clients = Array.from({ length: 8 }, client);

    // Begun before the stop, and longer than the whole delay.
    const inFlight = ask(`${addressOf(leaving)}/slow/${drain.delayMs + 3_000}`, agent);
    const exit = run('docker', ['wait', leaving.getId()]);
    await ask(`${addressOf(leaving)}/slow/1`, agent);
    const stopMs = performance.now();
    await run('docker', ['kill', '--signal', 'TERM', leaving.getId()]);

    // The kubelet's probe, at the manifest's own pace.
    let failures = 0;
    for await (const url of setInterval(periodSeconds * 1_000, `${addressOf(leaving)}/readyz`)) {
      failures = (await ask(url)) === 200 ? 0 : failures + 1;
      if (failures >= failureThreshold) break;
    }
    endpoints.delete(addressOf(leaving));
    const removedMs = performance.now() - stopMs;
    expect(removedMs).toBeLessThan(drain.delayMs);

    expect(await inFlight).toBe(200);
    const { stdout } = await exit;
    const stoppedMs = performance.now() - stopMs;
    over.abort();
    await Promise.all(clients);
    agent.destroy();

    expect(stdout.trim()).toBe('0');
    expect(new Set(answers)).toEqual(new Set([200]));
    expect(answers.length).toBeGreaterThan(200);
    expect(stoppedMs).toBeGreaterThan(drain.delayMs);
    expect(drain.preStopMs + stoppedMs).toBeLessThan(drain.graceMs);
  });
});
