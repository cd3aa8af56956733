/** What survives drains, upgrades, rollouts and the loss of a node. */
import { drainProblems } from '../drain.ts';
import { quotaProblems } from '../quota.ts';
import { nameOf, ofKind, selects, specOf, workloadsOf, type Manifest, type Workload } from '../manifest.ts';
import { aimedAt, anyObject, anyWorkload, complain, isServing, remove, type Rule } from './rule.ts';

interface Budget {
  maxUnavailable?: number;
  minAvailable?: number;
  unhealthyPodEvictionPolicy?: string;
}

interface Scaler {
  scaleTargetRef: { kind?: string; name: string };
  metrics?: { resource?: { name: string; target: { averageValue?: string } } }[];
  triggers?: { type: string; metricType?: string; metadata: { value?: string } }[];
  minReplicas?: number;
  maxReplicas?: number;
  minReplicaCount?: number;
  maxReplicaCount?: number;
}

const scalerKinds = ['HorizontalPodAutoscaler', 'ScaledObject'];

const scalersOf = (objects: readonly Manifest[], { object }: Workload): Manifest[] =>
  ofKind(objects, ...scalerKinds).filter((scaler) => {
    const { kind = 'Deployment', name } = specOf<Scaler>(scaler).scaleTargetRef;
    return kind === object.kind && name === object.metadata.name;
  });

const deployments = (objects: readonly Manifest[]): Workload[] =>
  workloadsOf(objects).filter(({ object }) => object.kind === 'Deployment');

const anyScaler = (objects: readonly Manifest[]): Scaler => {
  const [scaler] = ofKind(objects, ...scalerKinds);
  if (!scaler) throw new Error('there is nothing to spoil');
  return specOf<Scaler>(scaler);
};

const subject = ({ object }: Workload): string => nameOf(object);

export const availabilityRules: readonly Rule[] = [
  {
    title: 'whatever serves has a disruption budget',
    answers: ['kube-score/deployment-has-poddisruptionbudget', 'polaris/missingPodDisruptionBudget'],
    find: (objects) =>
      complain(
        workloadsOf(objects).filter(isServing),
        (workload) => aimedAt(objects, 'PodDisruptionBudget', workload).length !== 1,
        (workload) => `${subject(workload)} has not exactly one disruption budget`,
      ),
    spoil: (objects) => remove(objects, 'PodDisruptionBudget'),
  },
  {
    title: 'every budget lets one pod go, and pods that are broken at any time',
    answers: [
      'kube-score/poddisruptionbudget-has-policy',
      'kube-linter/pdb-max-unavailable',
      'kube-linter/pdb-min-available',
      'kube-linter/pdb-unhealthy-pod-eviction-policy',
      'polaris/pdbDisruptionsIsZero',
      'polaris/pdbMinAvailableGreaterThanHPAMinReplicas',
      'safeguards/pod-disruption-budget',
    ],
    find: (objects) =>
      complain(
        ofKind(objects, 'PodDisruptionBudget'),
        (object) => {
          const { maxUnavailable, minAvailable, unhealthyPodEvictionPolicy } = specOf<Budget>(object);
          return (
            maxUnavailable !== 1 || minAvailable !== undefined || unhealthyPodEvictionPolicy !== 'AlwaysAllow'
          );
        },
        (object) => `${nameOf(object)} can stop a drain`,
      ),
    spoil: (objects) =>
      Object.assign(anyObject(objects, 'PodDisruptionBudget').spec ?? {}, { maxUnavailable: 0 }),
  },
  {
    title: 'autoscalers scale something that is there',
    answers: [
      'kube-score/horizontalpodautoscaler-has-target',
      'kube-linter/dangling-horizontalpodautoscaler',
    ],
    find: (objects) =>
      complain(
        ofKind(objects, ...scalerKinds),
        (scaler) => !deployments(objects).some((workload) => scalersOf(objects, workload).includes(scaler)),
        (object) => `${nameOf(object)} scales nothing`,
      ),
    spoil: (objects) => Object.assign(anyScaler(objects).scaleTargetRef, { name: 'other' }),
  },
  {
    title: 'autoscalers keep at least two pods and have room above',
    answers: [
      'kube-score/horizontalpodautoscaler-replicas',
      'polaris/hpaMinAvailability',
      'polaris/hpaMaxAvailability',
    ],
    find: (objects) =>
      complain(
        ofKind(objects, ...scalerKinds),
        (object) => {
          const spec = specOf<Scaler>(object);
          const least = spec.minReplicas ?? spec.minReplicaCount ?? 0;
          return least < 2 || (spec.maxReplicas ?? spec.maxReplicaCount ?? 0) <= least;
        },
        (object) => `${nameOf(object)} goes below two pods or has no room above`,
      ),
    spoil: (objects) => Object.assign(anyScaler(objects), { minReplicas: 1, minReplicaCount: 1 }),
  },
  {
    title: 'pods are kept at the share of a core that docs/scale.md reckons with',
    answers: ['countersign/scale'],
    find: (objects) =>
      complain(
        ofKind(objects, ...scalerKinds),
        (object) => {
          const { metrics = [], triggers = [] } = specOf<Scaler>(object);
          const aims = [
            ...metrics.map(({ resource }) => resource?.name === 'cpu' && resource.target.averageValue),
            ...triggers.map(
              ({ type, metricType, metadata }) =>
                type === 'cpu' && metricType === 'AverageValue' && metadata.value,
            ),
          ];
          return !aims.includes('700m');
        },
        (object) => `${nameOf(object)} aims at another use of the processor`,
      ),
    spoil: (objects) => Object.assign(anyScaler(objects), { metrics: [], triggers: [] }),
  },
  {
    title: 'the number of pods is the autoscaler’s alone',
    answers: [
      'kube-score/deployment-targeted-by-hpa-does-not-have-replicas-configured',
      'kube-score/deployment-replicas',
    ],
    find: (objects) =>
      complain(
        deployments(objects),
        (workload) => scalersOf(objects, workload).length !== 1 || workload.spec.replicas !== undefined,
        (workload) => `${subject(workload)} is scaled by other than one autoscaler`,
      ),
    spoil: (objects) => Object.assign(anyWorkload(objects).spec, { replicas: 3 }),
  },
  {
    title: 'rollouts start a pod before they stop one',
    answers: ['kube-score/deployment-strategy', 'kube-linter/no-rolling-update-strategy'],
    find: (objects) =>
      complain(
        deployments(objects),
        ({ spec: { strategy } }) =>
          strategy?.type !== 'RollingUpdate' ||
          strategy.rollingUpdate?.maxUnavailable !== 0 ||
          (strategy.rollingUpdate.maxSurge ?? 0) < 1,
        (workload) => `${subject(workload)} stops pods before it starts others`,
      ),
    spoil: (objects) => Object.assign(anyWorkload(objects).spec, { strategy: { type: 'Recreate' } }),
  },
  {
    title: 'pods keep apart from their own on hosts',
    answers: ['kube-score/deployment-has-host-podantiaffinity', 'kube-linter/no-anti-affinity'],
    find: (objects) =>
      complain(
        deployments(objects),
        ({ pod, labels }) => {
          const terms = pod.affinity?.podAntiAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? [];
          return !terms.some(
            ({ podAffinityTerm: { topologyKey, labelSelector } }) =>
              topologyKey === 'kubernetes.io/hostname' && selects(labelSelector, labels),
          );
        },
        (workload) => `${subject(workload)} may end on one host`,
      ),
    spoil: (objects) => delete anyWorkload(objects).pod.affinity,
  },
  {
    title: 'pods are spread over zones and hosts',
    answers: [
      'kube-score/pod-topology-spread-constraints',
      'polaris/topologySpreadConstraint',
      'safeguards/anti-affinity-or-spread',
    ],
    find: (objects) =>
      complain(
        workloadsOf(objects).filter(isServing),
        ({ pod, labels, object }) => {
          const fitting = (pod.topologySpreadConstraints ?? []).filter(({ labelSelector }) =>
            selects(labelSelector, labels),
          );
          const keys = new Set(fitting.map(({ topologyKey }) => topologyKey));
          const wanted =
            object.kind === 'Deployment'
              ? ['topology.kubernetes.io/zone', 'kubernetes.io/hostname']
              : ['kubernetes.io/hostname'];
          return !wanted.every((key) => keys.has(key));
        },
        (workload) => `${subject(workload)} is not spread`,
      ),
    spoil: (objects) => delete anyWorkload(objects).pod.topologySpreadConstraints,
  },
  {
    title: 'selectors fit the pods that they stand above',
    answers: ['kube-linter/mismatching-selector'],
    find: (objects) =>
      complain(
        workloadsOf(objects).filter(isServing),
        ({ spec, labels }) => !spec.selector?.matchLabels || !selects(spec.selector, labels),
        (workload) => `${subject(workload)} does not select its own pods`,
      ),
    spoil: (objects) => Object.assign(anyWorkload(objects).spec.selector?.matchLabels ?? {}, { x: 'y' }),
  },
  {
    title: 'stateful sets have their service',
    answers: ['kube-score/statefulset-has-servicename'],
    find: (objects) =>
      complain(
        workloadsOf(objects).filter(({ object }) => object.kind === 'StatefulSet'),
        ({ spec }) => !ofKind(objects, 'Service').some(({ metadata }) => metadata.name === spec.serviceName),
        (workload) => `${subject(workload)} has no service`,
      ),
    spoil: (objects) => {
      const { object, spec } = anyWorkload(objects);
      objects.push({
        ...object,
        kind: 'StatefulSet',
        spec: { ...spec, serviceName: 'other' },
      });
    },
  },
  {
    title: 'jobs that are over go away',
    answers: ['kube-linter/job-ttl-seconds-after-finished'],
    find: (objects) =>
      complain(
        workloadsOf(objects).filter((workload) => !isServing(workload)),
        ({ spec }) => spec.ttlSecondsAfterFinished === undefined,
        (workload) => `${subject(workload)} stays for ever`,
      ),
    spoil: (objects) => delete anyWorkload(objects, 'Job').spec.ttlSecondsAfterFinished,
  },
  {
    title: 'pods say how important they are',
    answers: ['polaris/priorityClassNotSet'],
    find: (objects) =>
      complain(
        workloadsOf(objects),
        ({ pod }) =>
          !ofKind(objects, 'PriorityClass').some(({ metadata }) => metadata.name === pod.priorityClassName),
        (workload) => `${subject(workload)} has no priority`,
      ),
    spoil: (objects) => delete anyWorkload(objects).pod.priorityClassName,
  },
  {
    title: 'what serves can be applied after the migration, and what the migration needs before',
    answers: ['countersign/migration-first'],
    find: (objects) => {
      const comesLast = ({ metadata }: Manifest): boolean =>
        metadata.labels?.['countersign/apply'] === 'after-migration';
      return [
        ...complain(
          ofKind(objects, 'Deployment', ...scalerKinds),
          (object) => !comesLast(object),
          (object) => `${nameOf(object)} comes with the migration`,
        ),
        ...complain(
          ofKind(
            objects,
            'Job',
            'ServiceAccount',
            'ConfigMap',
            'NetworkPolicy',
            'Namespace',
            'PriorityClass',
          ),
          comesLast,
          (object) => `${nameOf(object)} comes after the migration`,
        ),
      ];
    },
    spoil: (objects) => delete anyWorkload(objects).object.metadata.labels?.['countersign/apply'],
  },
  {
    title: 'storage is of a CSI driver',
    answers: ['safeguards/csi-driver'],
    find: (objects) =>
      complain(
        objects,
        (object) =>
          object.kind === 'StorageClass' ||
          JSON.stringify(object).includes('volume.beta.kubernetes.io/storage'),
        (object) => `${nameOf(object)} is not of the cluster's own classes`,
      ),
    spoil: (objects) =>
      objects.push({
        apiVersion: 'storage.k8s.io/v1',
        kind: 'StorageClass',
        metadata: { name: 'old', labels: { owner: 'x' } },
      }),
  },
  {
    title: 'pods have time to drain before they are killed',
    answers: ['countersign/drain'],
    find: drainProblems,
    spoil: (objects) => Object.assign(anyWorkload(objects).pod, { terminationGracePeriodSeconds: 20 }),
  },
  {
    title: 'the quota has room for every autoscaler at its maximum',
    answers: ['countersign/quota'],
    find: quotaProblems,
    spoil: (objects) =>
      Object.assign((anyObject(objects, 'ResourceQuota').spec as { hard: object }).hard, {
        'requests.memory': '1Gi',
      }),
  },
];
