/**
 * `npm run bench:scale`: what a request costs in each service, measured here, and what follows from it at 1 thousand to
 * 1 million requests per second. Token requests are simulated over a day of pods that start, scale and are replaced.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startSystem } from '@countersign/cli';
import { createTokenSource, type EntraNetwork } from '@countersign/shared-auth';
import { Agent, fetch } from 'undici';
import { processorSeconds } from './processor-time.ts';

const warmUp = 8_000;
const measured = 12_000;
const atOnce = 16;
/** The packaged route, without its rate limit. */
const routes = `
upstreams: { records-api: {}, caller-api: {} }
routes: [{ path: /caller, upstream: caller-api, access: public, page: true }]
`;

const services = ['gateway', 'caller-api', 'records-api'] as const;
type Costs = Readonly<Record<(typeof services)[number], number>>;

/** Processor microseconds per request of `GET /caller/records` as JSON, by service. */
const measureCosts = async (): Promise<Costs> => {
  const dataFolder = await mkdtemp(join(tmpdir(), 'scale-'));
  const ports = { gateway: 0, gatewayAdmin: 0, recordsApi: 0, callerApi: 0, localEntra: 0 };
  const routesFile = join(dataFolder, 'routes.yaml');
  await writeFile(routesFile, routes);
  const settings = { gateway: { ROUTES_FILE: routesFile } };
  const system = await startSystem({ dataFolder, ports, settings });
  const dispatcher = new Agent({ connections: atOnce });
  const send = async (count: number): Promise<void> => {
    let left = count;
    const client = async (): Promise<void> => {
      while ((left -= 1) >= 0) {
        const headers = { accept: 'application/json' };
        const response = await fetch(`${system.gatewayUrl}/caller/records`, { headers, dispatcher });
        await response.arrayBuffer();
        if (response.status !== 200) throw new Error(`answered ${response.status}`);
      }
    };
    await Promise.all(Array.from({ length: atOnce }, client));
  };
  const read = (): number[] =>
    services.map((name) =>
      processorSeconds(system.services.find((service) => service.name === name)?.child.pid as number),
    );
  try {
    await send(warmUp);
    const before = read();
    await send(measured);
    const after = read();
    const costs = after.map((seconds, index) => ((seconds - (before[index] ?? 0)) / measured) * 1e6);
    return Object.fromEntries(services.map((name, index) => [name, Math.round(costs[index] ?? 0)])) as Costs;
  } finally {
    await dispatcher.close();
    await system.stop();
    await rm(dataFolder, { recursive: true });
  }
};

/** As the manifests scale: a pod is one thread for JavaScript, kept at this share of a core. */
const utilisation = 0.7;
const leastPods = 3;
const poolSize = 10;

const podsFor = (perSecond: number, microseconds: number): number =>
  Math.max(leastPods, Math.ceil((perSecond * microseconds) / 1e6 / utilisation));

const dayMs = 24 * 3_600_000;

/** An Entra that always grants, and counts: tokens live for 60 to 90 minutes. */
const countTokenRequests = async (pods: number, rolloutsPerDay: number): Promise<number> => {
  let now = Date.now();
  let requests = 0;
  const network: EntraNetwork = {
    request: async () => {
      requests += 1;
      const expires_in = 3_600 + Math.floor(1_800 * Math.random());
      const body = JSON.stringify({ token_type: 'Bearer', expires_in, access_token: `token-${requests}` });
      return { status: 200, headers: {}, body };
    },
    close: () => {},
  };
  const startPods = () =>
    Array.from({ length: pods }, () =>
      createTokenSource({
        authorityHost: 'https://login.microsoftonline.com',
        tenantId: '11111111-1111-4111-8111-111111111111',
        clientId: '33333333-3333-4333-8333-333333333333',
        credential: { clientSecret: 'secret' },
        network,
        clock: () => now,
      }),
    );
  const stepMs = 10 * 60_000;
  let sources = startPods();
  for (let elapsedMs = 0; elapsedMs < dayMs; elapsedMs += stepMs) {
    if (elapsedMs > 0 && elapsedMs % (dayMs / (rolloutsPerDay + 1)) < stepMs) sources = startPods();
    await Promise.all(sources.map((source) => source.getToken({ scope: 'api://records/.default' })));
    now += stepMs;
  }
  return requests;
};

const costs = await measureCosts();
/** Simulated with as many pods as there are up to here, and per pod the same beyond. */
const simulatedPods = 50;
const perPodAndDay = (await countTokenRequests(simulatedPods, 3)) / simulatedPods;

const rows = [1_000, 10_000, 100_000, 1_000_000].map((perSecond) => {
  const [gateway, callerApi, recordsApi] = services.map((name) => podsFor(perSecond, costs[name]));
  return {
    requestsPerSecond: perSecond,
    gateway,
    callerApi,
    recordsApi,
    databaseConnections: (recordsApi ?? 0) * poolSize,
    statementsPerSecond: perSecond,
    tokenRequestsPerHour: Math.round(((callerApi ?? 0) * perPodAndDay) / 24),
    redisOperationsPerSecond: perSecond,
  };
});
for (const row of rows)
  process.stderr.write(
    `${Object.entries(row)
      .map(([name, value]) => `${name} ${value}`)
      .join(', ')}\n`,
  );
const medians = { ...costs, tokenRequestsPerPodAndDay: perPodAndDay };
process.stdout.write(
  `${JSON.stringify({ bench: 'scale', node: process.version, rounds: 1, ratios: {}, medians, rows })}\n`,
);
