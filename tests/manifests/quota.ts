import { ofKind, specOf, workloadsOf, type Manifest } from './manifest.ts';

const units: Readonly<Record<string, number>> = { m: 0.001, Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30 };

/** A quantity of Kubernetes as a number. */
export const quantity = (text = '0'): number => {
  const [, number = '0', unit = ''] = /^([\d.]+)(m|Ki|Mi|Gi)?$/.exec(text) ?? [];
  return Number(number) * (units[unit] ?? 1);
};

interface Scaler {
  scaleTargetRef: { name: string };
  maxReplicas?: number;
  maxReplicaCount?: number;
}

const mostPods = (objects: readonly Manifest[], name: string): number => {
  const scaler = ofKind(objects, 'HorizontalPodAutoscaler', 'ScaledObject').find(
    (object) => specOf<Scaler>(object).scaleTargetRef.name === name,
  );
  if (!scaler) return 1;
  const { maxReplicas, maxReplicaCount } = specOf<Scaler>(scaler);
  // One more during a rollout.
  return (maxReplicas ?? maxReplicaCount ?? 0) + 1;
};

/** What does not fit into the namespace's quota when everything is scaled out and rolled out at once. */
export const quotaProblems = (objects: readonly Manifest[]): string[] => {
  const [quota] = ofKind(objects, 'ResourceQuota');
  const { hard = {} } = quota ? specOf<{ hard?: Record<string, string> }>(quota) : {};
  const needed: Record<string, number> = { pods: 0 };
  for (const { object, pod } of workloadsOf(objects)) {
    const pods = mostPods(objects, object.metadata.name);
    needed['pods'] = (needed['pods'] ?? 0) + pods;
    for (const { resources } of pod.containers) {
      for (const side of ['requests', 'limits'] as const) {
        for (const [name, amount] of Object.entries(resources?.[side] ?? {})) {
          const key = `${side}.${name}`;
          needed[key] = (needed[key] ?? 0) + pods * quantity(amount);
        }
      }
    }
  }
  return Object.entries(needed).flatMap(([key, amount]) =>
    quantity(hard[key]) >= amount
      ? []
      : [`${key}: ${amount} are needed, the quota is ${hard[key] ?? 'missing'}`],
  );
};
