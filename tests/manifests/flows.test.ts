import { describe, expect, test } from '@jest/globals';
import { isAllowed, podsOf, type End } from './flows.ts';
import type { Manifest } from './manifest.ts';
import { exampleSite, render } from './render.ts';

const pod = (namespace: string, labels: Record<string, string> = {}): End => ({ namespace, labels });

const outside: Readonly<Record<string, End>> = {
  dns: pod('kube-system', { 'k8s-app': 'kube-dns' }),
  'the ingress proxy': pod('countersign-ingress', {
    'gateway.networking.k8s.io/gateway-name': 'countersign',
  }),
  "Azure Monitor's collector": pod('kube-system', { rsName: 'ama-metrics' }),
  Prometheus: pod('monitoring', { 'app.kubernetes.io/name': 'prometheus' }),
  'a stranger in the namespace': pod('countersign', { app: 'stranger' }),
  'a stranger elsewhere': pod('default', { app: 'stranger' }),
  'the internet': { address: '20.190.160.1' },
  'the database': { address: '10.1.4.5' },
  'the cache': { address: '10.1.4.20' },
  'another private address': { address: '10.9.9.9' },
  'the load balancer': { address: '10.244.3.3' },
  'instance metadata': { address: '169.254.169.254' },
  'the wire server': { address: '168.63.129.16' },
};

type Flow = readonly [from: string, to: string, port: number];

const everywhere: readonly Flow[] = [
  ['gateway', 'records-api', 8081],
  ['gateway', 'caller-api', 8082],
  ['caller-api', 'records-api', 8081],
  ['gateway', 'dns', 53],
  ['records-api', 'dns', 53],
  ['caller-api', 'dns', 53],
  ['records-migration', 'dns', 53],
];

const azure: readonly Flow[] = [
  ...everywhere,
  ['a stranger in the namespace', 'dns', 53],
  ['gateway', 'the internet', 443],
  ['records-api', 'the internet', 443],
  ['caller-api', 'the internet', 443],
  ['records-migration', 'the internet', 443],
  ['records-api', 'the database', 5432],
  ['records-migration', 'the database', 5432],
];

const local: readonly Flow[] = [
  ...everywhere,
  ['a stranger in the namespace', 'dns', 53],
  ...['local-entra', 'postgres', 'valkey'].map((name) => [name, 'dns', 53] as const),
  ...['gateway', 'records-api', 'caller-api', 'records-migration'].map(
    (name) => [name, 'local-entra', 8443] as const,
  ),
  ['records-api', 'postgres', 5432],
  ['records-migration', 'postgres', 5432],
  ['gateway', 'valkey', 6379],
];

const services = ['gateway', 'records-api', 'caller-api', 'records-migration'];
const ports = [53, 80, 443, 5432, 6379, 8080, 8081, 8082, 8443, 9080, 9081, 9082, 10_000, 15_021];

/** Every connection of the table's ends that begins or ends at one of our pods and is let through. */
const allowedFlows = (objects: readonly Manifest[], names: readonly string[]): string[] => {
  const ends = new Map<string, End>([
    ...names.map((name) => [name, podsOf(objects, name)] as const),
    ...Object.entries(outside),
  ]);
  const isOurs = ({ namespace }: End): boolean => namespace === 'countersign';
  return [...ends].flatMap(([from, source]) =>
    [...ends].flatMap(([to, target]) =>
      ports.flatMap((port) =>
        (['TCP', 'UDP'] as const)
          .filter(
            (protocol) =>
              from !== to &&
              (isOurs(source) || isOurs(target)) &&
              isAllowed(objects, source, target, { port, protocol }),
          )
          .map((protocol) => `${from} → ${to}:${port}/${protocol}`),
      ),
    ),
  );
};

const written = (flows: readonly Flow[]): string[] =>
  flows
    .flatMap(([from, to, port]) =>
      (port === 53 ? ['TCP', 'UDP'] : ['TCP']).map((protocol) => `${from} → ${to}:${port}/${protocol}`),
    )
    .toSorted();

describe('exactly the flows of the picture', () => {
  test('in the overlay local', () => {
    const names = [...services, 'local-entra', 'postgres', 'valkey'];
    expect(allowedFlows(render('local'), names).toSorted()).toEqual(written(local));
  });

  const metricsTo = (collector: string): Flow[] => [
    [collector, 'gateway', 9080],
    [collector, 'records-api', 9081],
    [collector, 'caller-api', 9082],
  ];
  const fromProxy: Flow = ['the ingress proxy', 'gateway', 8080];
  test.each<[string, string[], Flow[]]>([
    ['approuting-istio', [], [fromProxy]],
    ['approuting-istio', ['monitoring'], [fromProxy, ...metricsTo("Azure Monitor's collector")]],
    ['istio', ['prometheus'], [fromProxy, ...metricsTo('Prometheus')]],
    ['approuting-istio', ['managed-redis'], [fromProxy, ['gateway', 'the cache', 10_000]]],
    ['azure-alb', ['keda'], [['the load balancer', 'gateway', 8080]]],
  ])('in the overlay aks with %s %j', (gatewayClass, others, more) => {
    const objects = render('aks', { components: [gatewayClass, ...others], site: exampleSite });
    expect(allowedFlows(objects, services).toSorted()).toEqual(written([...azure, ...more]));
  });

  test('with cilium-fqdn the internet is Entra alone', () => {
    const objects = render('aks', { components: ['approuting-istio', 'cilium-fqdn'], site: exampleSite });
    expect(allowedFlows(objects, services).filter((flow) => flow.includes('internet'))).toEqual([]);
    const policy = objects.find(({ kind }) => kind === 'CiliumNetworkPolicy');
    expect(JSON.stringify(policy?.spec)).toContain('{"matchName":"login.microsoftonline.com"}');
  });
});

test('with localdns pods may ask their node, and it alone', () => {
  const objects = render('aks', { components: ['approuting-istio', 'localdns'], site: exampleSite });
  const policies = objects.filter(({ kind }) => kind === 'CiliumNetworkPolicy');
  expect(policies.map(({ spec }) => JSON.stringify(spec?.['egress']).match(/"(host|[\d.]+\/\d+)"/g))).toEqual(
    [['"host"', '"169.254.10.10/31"']],
  );
  expect(allowedFlows(objects, services).toSorted()).toEqual(
    written([...azure, ['the ingress proxy', 'gateway', 8080]]),
  );
});

test('a policy that is gone lets more through', () => {
  const objects = render('local').filter(
    ({ kind, metadata }) => kind !== 'NetworkPolicy' || metadata.name !== 'postgres',
  );
  const withoutDeny = objects.filter(({ metadata }) => metadata.name !== 'default-deny');
  expect(
    isAllowed(withoutDeny, podsOf(withoutDeny, 'records-api'), podsOf(withoutDeny, 'postgres'), {
      port: 6379,
      protocol: 'TCP',
    }),
  ).toBe(false);
  expect(
    isAllowed(withoutDeny, outside['a stranger elsewhere'] as End, podsOf(withoutDeny, 'postgres'), {
      port: 5432,
      protocol: 'TCP',
    }),
  ).toBe(true);
});
