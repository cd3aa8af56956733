/** Who a pod is, and what it is called. */
import { nameOf, ofKind, workloadsOf, type Manifest } from '../manifest.ts';
import { anyObject, anyWorkload, complain, type Rule } from './rule.ts';

const clusterWide = new Set(['Namespace', 'PriorityClass']);

const stable = new Set([
  'v1',
  'apps/v1',
  'batch/v1',
  'autoscaling/v2',
  'policy/v1',
  'networking.k8s.io/v1',
  'scheduling.k8s.io/v1',
  'gateway.networking.k8s.io/v1',
  'cilium.io/v2',
  'azmonitoring.coreos.com/v1',
  // KEDA has no other.
  'keda.sh/v1alpha1',
]);

const labelValue = /^(?=.{0,63}$)([A-Za-z0-9]([\w.-]*[A-Za-z0-9])?)?$/;

const labelsOf = (object: Manifest): [string, string][] => Object.entries(object.metadata.labels ?? {});

const podLabels = (objects: readonly Manifest[]): Manifest[] => [
  ...objects,
  ...workloadsOf(objects).map(({ object, labels }) => ({
    ...object,
    metadata: { ...object.metadata, labels: { ...labels } },
  })),
];

export const identityRules: readonly Rule[] = [
  {
    title: 'no pod gets a token of the API server',
    answers: ['polaris/automountServiceAccountToken', 'checkov/CKV_K8S_38', 'kubescape/C-0034'],
    find: (objects) => [
      ...complain(
        workloadsOf(objects),
        ({ pod }) => pod.automountServiceAccountToken !== false,
        ({ object }) => `${nameOf(object)} mounts a token`,
      ),
      ...complain(
        ofKind(objects, 'ServiceAccount'),
        ({ automountServiceAccountToken }) => automountServiceAccountToken !== false,
        (object) => `${nameOf(object)} mounts a token`,
      ),
    ],
    spoil: (objects) => delete anyWorkload(objects).pod.automountServiceAccountToken,
  },
  {
    title: 'every pod has a service account that is there, under its present name',
    answers: [
      'kube-linter/default-service-account',
      'kube-linter/non-existent-service-account',
      'kube-linter/deprecated-service-account-field',
      'checkov/CKV_K8S_41',
      'checkov/CKV_K8S_42',
    ],
    find: (objects) =>
      complain(
        workloadsOf(objects),
        ({ pod, namespace }) =>
          pod.serviceAccount !== undefined ||
          !ofKind(objects, 'ServiceAccount').some(
            ({ metadata }) => metadata.name === pod.serviceAccountName && metadata.namespace === namespace,
          ),
        ({ object }) => `${nameOf(object)} has no service account of its own`,
      ),
    spoil: (objects) => delete anyWorkload(objects).pod.serviceAccountName,
  },
  {
    title: 'nothing is in the default namespace',
    answers: ['checkov/CKV_K8S_21', 'kube-linter/use-namespace'],
    find: (objects) =>
      complain(
        objects,
        ({ kind, metadata: { namespace = 'default' } }) => !clusterWide.has(kind) && namespace === 'default',
        (object) => `${nameOf(object)} is in the default namespace`,
      ),
    spoil: (objects) => delete anyObject(objects, 'Service').metadata.namespace,
  },
  {
    title: 'namespaces enforce the restricted profile, where our pods run',
    answers: ['pod-security/enforce-restricted'],
    find: (objects) => {
      const restricted = ofKind(objects, 'Namespace').filter(
        ({ metadata }) => metadata.labels?.['pod-security.kubernetes.io/enforce'] === 'restricted',
      );
      return complain(
        workloadsOf(objects),
        ({ namespace }) => !restricted.some(({ metadata }) => metadata.name === namespace),
        ({ object }) => `${nameOf(object)} runs where the restricted profile is not enforced`,
      );
    },
    spoil: (objects) => {
      for (const { metadata } of ofKind(objects, 'Namespace')) delete metadata.labels;
    },
  },
  {
    title: 'everything says whose it is',
    answers: ['kube-linter/required-label-owner'],
    find: (objects) =>
      complain(
        objects,
        ({ kind, metadata }) => kind !== 'PriorityClass' && !metadata.labels?.['owner'],
        (object) => `${nameOf(object)} has no owner`,
      ),
    spoil: (objects) => delete anyObject(objects, 'Service').metadata.labels,
  },
  {
    title: 'labels are of the form that Kubernetes takes',
    answers: ['kube-score/label-values'],
    find: (objects) =>
      complain(
        podLabels(objects),
        (object) => labelsOf(object).some(([, value]) => !labelValue.test(value)),
        (object) => `${nameOf(object)} has a label that is none`,
      ),
    spoil: (objects) =>
      Object.assign(anyObject(objects, 'Service').metadata.labels ?? {}, { owner: 'not this!' }),
  },
  {
    title: "no label is AKS' own",
    answers: ['safeguards/no-aks-labels'],
    find: (objects) =>
      complain(
        podLabels(objects),
        (object) => labelsOf(object).some(([key]) => key.startsWith('kubernetes.azure.com')),
        (object) => `${nameOf(object)} has a label that is reserved`,
      ),
    spoil: (objects) =>
      Object.assign(anyObject(objects, 'Service').metadata.labels ?? {}, { 'kubernetes.azure.com/x': 'y' }),
  },
  {
    title: 'instance labels are the names',
    answers: ['polaris/metadataAndInstanceMismatched'],
    find: (objects) =>
      complain(
        workloadsOf(objects),
        ({ object: { metadata } }) => metadata.labels?.['app.kubernetes.io/instance'] !== metadata.name,
        ({ object }) => `${nameOf(object)} has another instance label`,
      ),
    spoil: (objects) =>
      Object.assign(anyWorkload(objects).object.metadata.labels ?? {}, {
        'app.kubernetes.io/instance': 'other',
      }),
  },
  {
    title: 'only stable versions of APIs',
    answers: ['kube-score/stable-version'],
    find: (objects) =>
      complain(
        objects,
        ({ apiVersion }) => !stable.has(apiVersion),
        (object) => `${nameOf(object)} is of ${object.apiVersion}`,
      ),
    spoil: (objects) => {
      anyObject(objects, 'PodDisruptionBudget').apiVersion = 'policy/v1beta1';
    },
  },
  {
    title: 'nobody is granted anything in the cluster',
    answers: ['kube-linter/wildcard-in-rules', 'kube-linter/access-to-secrets', 'checkov/CKV_K8S_49'],
    find: (objects) =>
      complain(
        objects,
        ({ apiVersion, rules }) => apiVersion.startsWith('rbac.') || rules !== undefined,
        (object) => `${nameOf(object)} grants something`,
      ),
    spoil: (objects) =>
      objects.push({
        apiVersion: 'rbac.authorization.k8s.io/v1',
        kind: 'Role',
        metadata: { name: 'all' },
        rules: [{ apiGroups: ['*'], resources: ['secrets'], verbs: ['*'] }],
      }),
  },
  {
    title: 'no secret is applied, and no client secret is anywhere',
    answers: ['countersign/no-secret'],
    notLocally: true,
    find: (objects) =>
      complain(
        objects,
        (object) => object.kind === 'Secret' || JSON.stringify(object).includes('CLIENT_SECRET'),
        (object) => `${nameOf(object)} is or names a secret`,
      ),
    spoil: (objects) =>
      Object.assign(anyObject(objects, 'ConfigMap').data ?? {}, { AZURE_CLIENT_SECRET_FILE: '/run/secret' }),
  },
  {
    title: 'whoever takes tokens has a federated identity',
    answers: ['countersign/workload-identity'],
    notLocally: true,
    find: (objects) => {
      const identities = ofKind(objects, 'ServiceAccount').filter(
        ({ metadata }) => metadata.annotations?.['azure.workload.identity/client-id'],
      );
      return complain(
        workloadsOf(objects).filter(({ object }) => object.metadata.name !== 'gateway'),
        ({ labels, pod }) =>
          labels['azure.workload.identity/use'] !== 'true' ||
          !identities.some(({ metadata }) => metadata.name === pod.serviceAccountName),
        ({ object }) => `${nameOf(object)} has no federated identity`,
      );
    },
    spoil: (objects) => {
      for (const { metadata } of ofKind(objects, 'ServiceAccount')) delete metadata.annotations;
    },
  },
  {
    title: 'nobody is served without saying who they are',
    answers: ['countersign/access'],
    notLocally: true,
    find: (objects) =>
      complain(
        ofKind(objects, 'ConfigMap'),
        ({ data }) => data?.['ACCESS_MODE'] === 'anonymous',
        (object) => `${nameOf(object)} lets anybody in`,
      ),
    spoil: (objects) =>
      Object.assign(anyObject(objects, 'ConfigMap').data ?? {}, { ACCESS_MODE: 'anonymous' }),
  },
];
