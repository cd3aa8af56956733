/** Which connections the network policies allow. */
import { BlockList } from 'node:net';
import {
  ofKind,
  selects,
  specOf,
  workloadsOf,
  type Labels,
  type Manifest,
  type Selector,
} from './manifest.ts';

/** One end of a connection: a pod, or an address outside the cluster. */
export interface End {
  namespace?: string;
  labels?: Labels;
  address?: string;
  /** Ports by the names that the pod gives them. */
  ports?: Readonly<Record<string, number>>;
}

export interface Port {
  port: number;
  protocol: 'TCP' | 'UDP';
}

interface Peer {
  podSelector?: Selector;
  namespaceSelector?: Selector;
  ipBlock?: { cidr: string; except?: string[] };
}

interface NetworkRule {
  from?: Peer[];
  to?: Peer[];
  ports?: { port?: number | string; protocol?: string }[];
}

interface Policy {
  podSelector: Selector;
  policyTypes?: string[];
  ingress?: NetworkRule[];
  egress?: NetworkRule[];
}

const isIn = (address: string, block: string): boolean => {
  const [network = '', bits = '32'] = block.split('/');
  const list = new BlockList();
  list.addSubnet(network, Number(bits));
  return list.check(address);
};

const isPeer = ({ podSelector, namespaceSelector, ipBlock }: Peer, end: End, namespace: string): boolean => {
  if (ipBlock) {
    const { address } = end;
    return (
      address !== undefined &&
      isIn(address, ipBlock.cidr) &&
      !(ipBlock.except ?? []).some((block) => isIn(address, block))
    );
  }
  if (end.namespace === undefined) return false;
  const isInNamespace = namespaceSelector
    ? selects(namespaceSelector, { 'kubernetes.io/metadata.name': end.namespace })
    : end.namespace === namespace;
  return isInNamespace && selects(podSelector, end.labels ?? {});
};

const lets = (
  rule: NetworkRule,
  peers: Peer[] | undefined,
  other: End,
  policyNamespace: string,
  to: End,
  { port, protocol }: Port,
) =>
  (peers === undefined || peers.some((peer) => isPeer(peer, other, policyNamespace))) &&
  (rule.ports === undefined ||
    rule.ports.some(
      ({ port: allowed, protocol: spoken = 'TCP' }) =>
        spoken === protocol &&
        (allowed === port || (typeof allowed === 'string' && to.ports?.[allowed] === port)),
    ));

const isAllowedBy = (
  objects: readonly Manifest[],
  direction: 'ingress' | 'egress',
  subject: End,
  other: End,
  port: Port,
): boolean => {
  const { namespace, labels = {} } = subject;
  if (namespace === undefined) return true;
  const type = direction === 'ingress' ? 'Ingress' : 'Egress';
  const policies = ofKind(objects, 'NetworkPolicy')
    .filter(({ metadata }) => metadata.namespace === namespace)
    .map((object) => specOf<Policy>(object))
    .filter(({ podSelector, policyTypes }) => policyTypes?.includes(type) && selects(podSelector, labels));
  const to = direction === 'ingress' ? subject : other;
  return (
    policies.length === 0 ||
    policies.some((policy) =>
      (policy[direction] ?? []).some((rule) =>
        lets(rule, direction === 'ingress' ? rule.from : rule.to, other, namespace, to, port),
      ),
    )
  );
};

/** Whether a connection is let through on both sides, as the cluster would. */
export const isAllowed = (objects: readonly Manifest[], from: End, to: End, port: Port): boolean =>
  isAllowedBy(objects, 'egress', from, to, port) && isAllowedBy(objects, 'ingress', to, from, port);

/** The pods of a workload as an end. */
export const podsOf = (objects: readonly Manifest[], name: string): End => {
  const workload = workloadsOf(objects).find(({ object }) => object.metadata.name === name);
  if (!workload?.namespace) throw new Error(`there is no workload ${name}`);
  const ports = workload.pod.containers.flatMap((container) => container.ports ?? []);
  return {
    namespace: workload.namespace,
    labels: workload.labels,
    ports: Object.fromEntries(ports.map(({ name: port, containerPort }) => [port ?? '', containerPort])),
  };
};
