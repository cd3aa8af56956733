/** The part of Kubernetes' objects that the checks look at. */

export type Labels = Readonly<Record<string, string>>;

export interface Metadata {
  name: string;
  namespace?: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
}

export interface Manifest {
  apiVersion: string;
  kind: string;
  metadata: Metadata;
  data?: Record<string, string>;
  automountServiceAccountToken?: boolean;
  spec?: Record<string, unknown>;
  rules?: { resources?: string[]; verbs?: string[]; apiGroups?: string[] }[];
}

export interface Selector {
  matchLabels?: Record<string, string>;
  matchExpressions?: { key: string; operator: string; values?: string[] }[];
}

export interface Probe {
  httpGet?: { path?: string; port: string | number; scheme?: string };
  tcpSocket?: { port: string | number };
  exec?: { command: string[] };
  periodSeconds?: number;
  failureThreshold?: number;
}

export interface Container {
  name: string;
  image: string;
  imagePullPolicy?: string;
  ports?: { name?: string; containerPort: number; hostPort?: number; protocol?: string }[];
  env?: { name: string; value?: string; valueFrom?: { secretKeyRef?: unknown } }[];
  envFrom?: { configMapRef?: { name: string }; secretRef?: { name: string } }[];
  resources?: { requests?: Record<string, string>; limits?: Record<string, string> };
  startupProbe?: Probe;
  readinessProbe?: Probe;
  livenessProbe?: Probe;
  lifecycle?: { preStop?: { sleep?: { seconds: number } } };
  securityContext?: {
    allowPrivilegeEscalation?: boolean;
    privileged?: boolean;
    readOnlyRootFilesystem?: boolean;
    runAsNonRoot?: boolean;
    runAsUser?: number;
    capabilities?: { drop?: string[]; add?: string[] };
  };
  volumeMounts?: { name: string; mountPath: string }[];
}

interface SpreadTerm {
  topologyKey: string;
  labelSelector?: Selector;
}

export interface PodSpec {
  containers: Container[];
  initContainers?: Container[];
  serviceAccountName?: string;
  serviceAccount?: string;
  automountServiceAccountToken?: boolean;
  priorityClassName?: string;
  terminationGracePeriodSeconds?: number;
  hostNetwork?: boolean;
  hostPID?: boolean;
  hostIPC?: boolean;
  securityContext?: {
    runAsNonRoot?: boolean;
    runAsUser?: number;
    runAsGroup?: number;
    seccompProfile?: { type: string };
  };
  topologySpreadConstraints?: SpreadTerm[];
  affinity?: {
    podAntiAffinity?: {
      preferredDuringSchedulingIgnoredDuringExecution?: { podAffinityTerm: SpreadTerm }[];
    };
  };
  volumes?: (Record<string, unknown> & { name: string })[];
}

export interface WorkloadSpec {
  replicas?: number;
  serviceName?: string;
  selector?: Selector;
  strategy?: { type?: string; rollingUpdate?: { maxUnavailable?: number; maxSurge?: number } };
  ttlSecondsAfterFinished?: number;
  template: { metadata: Partial<Metadata>; spec: PodSpec };
}

export interface Workload {
  object: Manifest;
  spec: WorkloadSpec;
  namespace: string | undefined;
  labels: Labels;
  pod: PodSpec;
  /** Those that run beside each other, and those before them. */
  containers: Container[];
}

export const nameOf = ({ kind, metadata }: Manifest): string => `${kind} ${metadata.name}`;

export const ofKind = (objects: readonly Manifest[], ...kinds: string[]): Manifest[] =>
  objects.filter(({ kind }) => kinds.includes(kind));

// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- the schemas have checked what the caller names
export const specOf = <Spec>({ spec }: Manifest): Spec => (spec ?? {}) as Spec;

export const workloadsOf = (objects: readonly Manifest[]): Workload[] =>
  ofKind(objects, 'Deployment', 'StatefulSet', 'Job').map((object) => {
    const spec = specOf<WorkloadSpec>(object);
    const { metadata, spec: pod } = spec.template;
    const containers = [...(pod.initContainers ?? []), ...pod.containers];
    return {
      object,
      spec,
      namespace: object.metadata.namespace,
      labels: metadata.labels ?? {},
      pod,
      containers,
    };
  });

const holds = (
  labels: Labels,
  { key, operator, values = [] }: { key: string; operator: string; values?: string[] },
) => {
  if (operator === 'Exists') return key in labels;
  if (operator === 'DoesNotExist') return !(key in labels);
  const listed = values.includes(labels[key] ?? '');
  return operator === 'In' ? listed : !listed;
};

/** Whether a selector fits; an empty one fits everything. */
export const selects = (selector: Selector | undefined, labels: Labels): boolean =>
  Object.entries(selector?.matchLabels ?? {}).every(([key, value]) => labels[key] === value) &&
  (selector?.matchExpressions ?? []).every((expression) => holds(labels, expression));
