/** Who reaches whom. */
import { nameOf, ofKind, selects, specOf, workloadsOf, type Manifest, type Selector } from '../manifest.ts';
import { environmentOf } from '../environment.ts';
import { aimedAt, anyObject, anyWorkload, complain, remove, type Rule } from './rule.ts';

interface Policy {
  podSelector: Selector;
  policyTypes?: string[];
  ingress?: { from?: Peer[] }[];
  egress?: { to?: Peer[] }[];
}

interface Peer {
  podSelector?: Selector;
  namespaceSelector?: Selector;
}

interface ServiceSpec {
  type?: string;
  selector?: Record<string, string>;
  ports: { port: number; targetPort?: string | number }[];
}

interface Listener {
  name: string;
  protocol: string;
  tls?: { mode?: string; certificateRefs?: unknown[] };
  allowedRoutes?: { namespaces?: { from?: string } };
}

interface Route {
  hostnames?: string[];
  parentRefs: { sectionName?: string }[];
  rules: {
    filters?: { type: string; requestRedirect?: { scheme?: string } }[];
    backendRefs?: { name: string; port: number; namespace?: string }[];
  }[];
}

const podsBehind = (objects: readonly Manifest[], service: Manifest) => {
  const { selector } = specOf<ServiceSpec>(service);
  return workloadsOf(objects).filter(
    ({ namespace, labels, object }) =>
      object.kind !== 'Job' &&
      selector !== undefined &&
      namespace === service.metadata.namespace &&
      selects({ matchLabels: selector }, labels),
  );
};

const policyOf = (object: Manifest): Policy => specOf<Policy>(object);

const redirectsToTls = ({ rules }: Route): boolean =>
  rules.every(({ filters = [] }) =>
    filters.some(({ requestRedirect }) => requestRedirect?.scheme === 'https'),
  );

/** Addresses without a dot in their host. */
const inCluster = /(?:https?|rediss?|postgres):\/\/(?:[^@\s/]*@)?([a-z0-9-]+):(\d+)/g;

/** Which setting says where a container listens, by the port's name. */
const portSettings: Readonly<Record<string, readonly string[]>> = {
  http: ['PORT'],
  https: ['PORT'],
  metrics: ['METRICS_PORT', 'ADMIN_PORT'],
};

export const networkRules: readonly Rule[] = [
  {
    title: 'every pod is cut off both ways, but for what a policy names',
    answers: [
      'kube-score/pod-networkpolicy',
      'kube-linter/non-isolated-pod',
      'polaris/missingNetworkPolicy',
      'kubescape/C-0030',
      'kubescape/C-0054',
      'kubescape/C-0260',
    ],
    find: (objects) =>
      complain(
        workloadsOf(objects),
        (workload) => {
          const policies = aimedAt(
            objects,
            'NetworkPolicy',
            workload,
            (object) => policyOf(object).podSelector,
          ).map(policyOf);
          const own = policies.filter(({ podSelector }) => podSelector.matchLabels !== undefined);
          return !['Ingress', 'Egress'].every(
            (type) =>
              own.some(({ policyTypes }) => policyTypes?.includes(type)) &&
              policies.some(
                (policy) => !policy.podSelector.matchLabels && policy.policyTypes?.includes(type),
              ),
          );
        },
        ({ object }) => `${nameOf(object)} is not cut off`,
      ),
    spoil: (objects) => {
      objects.splice(
        objects.findIndex(({ metadata }) => metadata.name === 'default-deny'),
        1,
      );
    },
  },
  {
    title: 'policies are about pods that are there',
    answers: ['kube-score/networkpolicy-targets-pod', 'kube-linter/dangling-networkpolicy'],
    find: (objects) =>
      complain(
        ofKind(objects, 'NetworkPolicy'),
        (object) =>
          !workloadsOf(objects).some(
            ({ namespace, labels }) =>
              namespace === object.metadata.namespace && selects(policyOf(object).podSelector, labels),
          ),
        (object) => `${nameOf(object)} is about no pod`,
      ),
    spoil: (objects) =>
      Object.assign(policyOf(anyObject(objects, 'NetworkPolicy')), {
        podSelector: { matchLabels: { 'app.kubernetes.io/name': 'other' } },
      }),
  },
  {
    title: 'policies name peers that are there',
    answers: ['kube-linter/dangling-networkpolicypeer-podselector'],
    find: (objects) =>
      complain(
        ofKind(objects, 'NetworkPolicy'),
        (object) => {
          const { ingress = [], egress = [] } = policyOf(object);
          const peers = [...ingress.flatMap(({ from = [] }) => from), ...egress.flatMap(({ to = [] }) => to)];
          return peers.some(
            ({ podSelector, namespaceSelector }) =>
              podSelector !== undefined &&
              namespaceSelector === undefined &&
              !workloadsOf(objects).some(({ labels }) => selects(podSelector, labels)),
          );
        },
        (object) => `${nameOf(object)} names a peer that is not there`,
      ),
    spoil: (objects) =>
      Object.assign(policyOf(anyObject(objects, 'NetworkPolicy')), {
        ingress: [{ from: [{ podSelector: { matchLabels: { 'app.kubernetes.io/name': 'other' } } }] }],
      }),
  },
  {
    title: 'services have pods behind them',
    answers: ['kube-score/service-targets-pod', 'kube-linter/dangling-service'],
    find: (objects) =>
      complain(
        ofKind(objects, 'Service'),
        (service) => podsBehind(objects, service).length !== 1,
        (object) => `${nameOf(object)} has not one workload behind it`,
      ),
    spoil: (objects) =>
      Object.assign(specOf<ServiceSpec>(anyObject(objects, 'Service')), { selector: { app: 'other' } }),
  },
  {
    title: 'services are inside the cluster',
    answers: ['kube-score/service-type'],
    find: (objects) =>
      complain(
        ofKind(objects, 'Service'),
        (object) => specOf<ServiceSpec>(object).type !== 'ClusterIP',
        (object) => `${nameOf(object)} is open to the outside`,
      ),
    spoil: (objects) =>
      Object.assign(specOf<ServiceSpec>(anyObject(objects, 'Service')), { type: 'NodePort' }),
  },
  {
    title: 'services lead to ports that their pods have',
    answers: ['kube-linter/invalid-target-ports'],
    find: (objects) =>
      complain(
        ofKind(objects, 'Service'),
        (service) => {
          const containers = podsBehind(objects, service).flatMap((workload) => workload.containers);
          const known = new Set(
            containers.flatMap(({ ports = [] }) =>
              ports.flatMap(({ name, containerPort }) => [name, containerPort]),
            ),
          );
          return specOf<ServiceSpec>(service).ports.some(
            ({ port, targetPort = port }) => !known.has(targetPort),
          );
        },
        (object) => `${nameOf(object)} leads to a port that is not there`,
      ),
    spoil: (objects) =>
      Object.assign(specOf<ServiceSpec>(anyObject(objects, 'Service')).ports[0] ?? {}, {
        targetPort: 'other',
      }),
  },
  {
    title: 'addresses in the configuration are services that are there',
    answers: ['countersign/addresses'],
    find: (objects) =>
      ofKind(objects, 'ConfigMap').flatMap((object) => {
        const addresses = [
          ...Object.values(object.data ?? {})
            .join('\n')
            .matchAll(inCluster),
        ];
        return complain(
          addresses,
          ([, host, port]) =>
            !ofKind(objects, 'Service').some(
              (service) =>
                service.metadata.name === host &&
                service.metadata.namespace === object.metadata.namespace &&
                specOf<ServiceSpec>(service).ports.some((own) => own.port === Number(port)),
            ),
          ([address]) => `${nameOf(object)}: nothing is at ${address}`,
        );
      }),
    spoil: (objects) =>
      Object.assign(anyObject(objects, 'ConfigMap').data ?? {}, { RECORDS_API_URL: 'http://records-api:1' }),
  },
  {
    title: 'containers listen on the ports that they name',
    answers: ['countersign/ports'],
    find: (objects) =>
      workloadsOf(objects).flatMap((workload) =>
        workload.pod.containers.flatMap((container) => {
          const environment = environmentOf(objects, workload, container);
          return complain(
            container.ports ?? [],
            ({ name = '', containerPort }) =>
              portSettings[name]?.every((setting) => environment[setting] !== String(containerPort)) === true,
            ({ name }) => `${nameOf(workload.object)} does not listen on its port ${name}`,
          );
        }),
      ),
    spoil: (objects) =>
      Object.assign(anyWorkload(objects).pod.containers[0]?.ports?.[0] ?? {}, { containerPort: 9999 }),
  },
  {
    title: 'no two services select the same',
    answers: ['safeguards/unique-service-selectors'],
    find: (objects) => {
      const selectors = ofKind(objects, 'Service').map((object) =>
        JSON.stringify(specOf<ServiceSpec>(object).selector),
      );
      return complain(
        selectors,
        (selector) => selectors.filter((other) => other === selector).length > 1,
        (selector) => `${selector} is selected by two services`,
      );
    },
    spoil: (objects) => objects.push(structuredClone(anyObject(objects, 'Service'))),
  },
  {
    title: 'there is no Ingress: its controller is at its end of life',
    answers: ['kubescape/C-0292', 'kube-linter/dangling-ingress', 'polaris/tlsSettingsMissing'],
    find: (objects) => ofKind(objects, 'Ingress').map((object) => `${nameOf(object)} needs a controller`),
    spoil: (objects) =>
      objects.push({
        apiVersion: 'networking.k8s.io/v1',
        kind: 'Ingress',
        metadata: { name: 'old' },
        spec: { ingressClassName: 'nginx' },
      }),
  },
  {
    title: 'the door speaks TLS, to routes of our namespace alone',
    answers: ['polaris/gatewayTLSMissing', 'polaris/gatewayAllowedRoutesAll'],
    notLocally: true,
    find: (objects) =>
      ofKind(objects, 'Gateway').flatMap((object) =>
        complain(
          specOf<{ listeners: Listener[] }>(object).listeners,
          ({ protocol, tls, allowedRoutes }) =>
            allowedRoutes?.namespaces?.from !== 'Selector' ||
            (protocol === 'HTTPS' && (tls?.certificateRefs ?? []).length === 0),
          ({ name }) => `${nameOf(object)}, listener ${name}: no certificate, or open to every namespace`,
        ),
      ),
    spoil: (objects) =>
      delete specOf<{ listeners: Listener[] }>(anyObject(objects, 'Gateway')).listeners[1]?.tls
        ?.certificateRefs,
  },
  {
    title: 'plain HTTP only redirects, and routes name their host',
    answers: ['polaris/httpRouteInsecureListener', 'polaris/httpRouteWildcardOrEmptyHost'],
    notLocally: true,
    find: (objects) =>
      complain(
        ofKind(objects, 'HTTPRoute'),
        (object) => {
          const route = specOf<Route>(object);
          const isPlain = route.parentRefs.some(({ sectionName }) => sectionName !== 'https');
          return (
            (isPlain && !redirectsToTls(route)) ||
            !route.hostnames?.length ||
            route.hostnames.some((name) => name.includes('*'))
          );
        },
        (object) => `${nameOf(object)} serves plain HTTP, or any host`,
      ),
    spoil: (objects) => delete specOf<Route>(anyObject(objects, 'HTTPRoute')).parentRefs[0]?.sectionName,
  },
  {
    title: 'routes lead to services of their own namespace',
    answers: ['polaris/httpRouteCrossNamespaceBackendRef', 'polaris/httpRouteBackendTLSMissing'],
    notLocally: true,
    find: (objects) =>
      complain(
        ofKind(objects, 'HTTPRoute'),
        (object) =>
          specOf<Route>(object)
            .rules.flatMap(({ backendRefs = [] }) => backendRefs)
            .some(
              ({ name, port, namespace }) =>
                namespace !== undefined ||
                !ofKind(objects, 'Service').some(
                  (service) =>
                    service.metadata.name === name &&
                    service.metadata.namespace === object.metadata.namespace &&
                    specOf<ServiceSpec>(service).ports.some((own) => own.port === port && own.port !== 443),
                ),
            ),
        (object) => `${nameOf(object)} leads to a service that is not there`,
      ),
    spoil: (objects) => remove(objects, 'Service'),
  },
];
