/** What each container is and runs as. */
import { nameOf, ofKind, workloadsOf, type Container, type Manifest, type Workload } from '../manifest.ts';
import { quantity } from '../quota.ts';
import { anyObject, anyWorkload, complain, isServing, type Rule } from './rule.ts';

interface Placed {
  container: Container;
  workload: Workload;
}

const containersOf = (
  objects: readonly Manifest[],
  wanted: (workload: Workload) => boolean = () => true,
): Placed[] =>
  workloadsOf(objects)
    .filter(wanted)
    .flatMap((workload) => workload.containers.map((container) => ({ container, workload })));

/** Those that run for good; what runs before them is not probed. */
const servingContainers = (objects: readonly Manifest[]): Placed[] =>
  workloadsOf(objects)
    .filter(isServing)
    .flatMap((workload) => workload.pod.containers.map((container) => ({ container, workload })));

const say =
  (what: string) =>
  ({ container, workload }: Placed): string =>
    `${nameOf(workload.object)}, container ${container.name}: ${what}`;

const first = (objects: readonly Manifest[]): Container =>
  anyWorkload(objects).pod.containers[0] as Container;

const allSet = ({ resources }: Container, names: readonly string[]): boolean =>
  names.every((name) => resources?.requests?.[name] !== undefined && resources.limits?.[name] !== undefined);

// Polaris' words, which tell by the name alone. A name that says where a secret is holds none, and its ConfigMap says so
// to polaris: docs/decisions/checkers.md.
const secretName =
  /^aws_secret_access_key$|^google_application_credentials$|^azure_.+key$|password|token|bearer|secret/i;
const namesNoSecret = /_(FILE|FOLDER|SCOPE)$/;
const exemption = 'polaris.fairwinds.com/sensitiveConfigmapContent-exempt';
const looksSecret = (name: string): boolean => secretName.test(name);
const privateKey = /-BEGIN\s+.*PRIVATE KEY-/i;

const probesOf = ({ startupProbe, readinessProbe, livenessProbe }: Container) => ({
  startup: startupProbe,
  readiness: readinessProbe,
  liveness: livenessProbe,
});

const restrictedVolumes = new Set([
  'configMap',
  'csi',
  'emptyDir',
  'ephemeral',
  'persistentVolumeClaim',
  'projected',
  'secret',
]);

export const containerRules: readonly Rule[] = [
  {
    title: 'CPU and memory are requested and limited',
    answers: [
      'kube-score/container-resources',
      'kube-linter/unset-cpu-requirements',
      'kube-linter/unset-memory-requirements',
      'kubescape/C-0270',
      'kubescape/C-0271',
      'checkov/CKV_K8S_10',
      'checkov/CKV_K8S_11',
      'checkov/CKV_K8S_12',
      'checkov/CKV_K8S_13',
      'safeguards/resource-requests',
    ],
    find: (objects) =>
      complain(
        containersOf(objects),
        ({ container }) => !allSet(container, ['cpu', 'memory']),
        say('CPU or memory is not requested and limited'),
      ),
    spoil: (objects) => delete first(objects).resources?.limits?.['memory'],
  },
  {
    title: 'requests and limits stay as written: the safeguards raise less than 100m and 100Mi',
    answers: ['safeguards/resource-minimum'],
    find: (objects) =>
      complain(
        containersOf(objects),
        ({ container: { resources } }) =>
          [resources?.requests, resources?.limits].some(
            (set) => quantity(set?.['cpu']) < 0.1 || quantity(set?.['memory']) < 100 * 2 ** 20,
          ),
        say('less than 100m CPU or 100Mi memory'),
      ),
    spoil: (objects) => Object.assign(first(objects).resources?.requests ?? {}, { cpu: '50m' }),
  },
  {
    title: 'ephemeral storage is requested and limited',
    answers: ['kube-score/container-ephemeral-storage-request-and-limit'],
    find: (objects) =>
      complain(
        containersOf(objects),
        ({ container }) => !allSet(container, ['ephemeral-storage']),
        say('ephemeral storage is not requested and limited'),
      ),
    spoil: (objects) => delete first(objects).resources?.requests?.['ephemeral-storage'],
  },
  {
    title: 'images have a version',
    answers: ['kube-score/container-image-tag', 'checkov/CKV_K8S_14', 'safeguards/no-latest-image'],
    find: (objects) =>
      complain(
        containersOf(objects),
        ({ container: { image } }) => !/[^/]*[@:][^/]+$/.test(image) || image.endsWith(':latest'),
        say('the image has no version'),
      ),
    spoil: (objects) => Object.assign(first(objects), { image: 'registry.example/gateway:latest' }),
  },
  {
    title: 'images are pinned by digest',
    answers: ['checkov/CKV_K8S_43'],
    notLocally: true,
    find: (objects) =>
      complain(
        containersOf(objects),
        ({ container: { image } }) => !/@sha256:[0-9a-f]{64}$/.test(image),
        say('the image is not pinned by digest'),
      ),
    spoil: (objects) => Object.assign(first(objects), { image: 'registry.azurecr.io/gateway:1.0.0' }),
  },
  {
    title: "images come from the site's registry",
    answers: ['kubescape/C-0078', 'safeguards/allowed-images'],
    notLocally: true,
    find: (objects) =>
      complain(
        containersOf(objects),
        ({ container: { image } }) => !/^[a-z0-9]+\.azurecr\.io\//.test(image),
        say('the image is of another registry'),
      ),
    spoil: (objects) =>
      Object.assign(first(objects), { image: `docker.io/gateway@sha256:${'0'.repeat(64)}` }),
  },
  {
    title: 'images are asked for at each start',
    answers: ['kube-score/container-image-pull-policy', 'polaris/pullPolicyNotAlways', 'checkov/CKV_K8S_15'],
    notLocally: true,
    find: (objects) =>
      complain(
        containersOf(objects),
        ({ container }) => container.imagePullPolicy !== 'Always',
        say('the image is not asked for at each start'),
      ),
    spoil: (objects) => Object.assign(first(objects), { imagePullPolicy: 'IfNotPresent' }),
  },
  {
    title: 'no variable is set twice',
    answers: ['kube-score/environment-variable-key-duplication', 'kube-linter/duplicate-env-var'],
    find: (objects) =>
      complain(
        containersOf(objects),
        ({ container: { env = [] } }) => new Set(env.map(({ name }) => name)).size < env.length,
        say('a variable is set twice'),
      ),
    spoil: (objects) =>
      Object.assign(first(objects), {
        env: [
          { name: 'A', value: '1' },
          { name: 'A', value: '2' },
        ],
      }),
  },
  {
    title: 'no variable holds a secret',
    answers: [
      'kube-linter/env-var-secret',
      'kube-linter/read-secret-from-env-var',
      'checkov/CKV_K8S_35',
      'kubescape/C-0012',
      'kubescape/C-0207',
      'polaris/sensitiveContainerEnvVar',
    ],
    find: (objects) =>
      complain(
        containersOf(objects),
        ({ container: { env = [], envFrom = [] } }) =>
          envFrom.some(({ secretRef }) => secretRef !== undefined) ||
          env.some(
            ({ name, value = '', valueFrom }) =>
              valueFrom?.secretKeyRef !== undefined || looksSecret(name) || privateKey.test(value),
          ),
        say('a variable holds a secret'),
      ),
    spoil: (objects) => Object.assign(first(objects), { env: [{ name: 'CLIENT_SECRET', value: 'x' }] }),
  },
  {
    title: 'no ConfigMap holds a secret',
    answers: ['polaris/sensitiveConfigmapContent'],
    find: (objects) =>
      complain(
        ofKind(objects, 'ConfigMap'),
        ({ data = {}, metadata: { annotations = {} } }) =>
          Object.entries(data).some(
            ([key, value]) =>
              privateKey.test(value) ||
              (looksSecret(key) && !(annotations[exemption] === 'true' && namesNoSecret.test(key))),
          ),
        (object) => `${nameOf(object)} holds a secret`,
      ),
    spoil: (objects) => Object.assign(anyObject(objects, 'ConfigMap').data ?? {}, { CLIENT_SECRET: 'x' }),
  },
  {
    title: 'what serves is probed in three ways',
    answers: [
      'kube-score/pod-probes',
      'kube-linter/no-liveness-probe',
      'kube-linter/no-readiness-probe',
      'checkov/CKV_K8S_8',
      'checkov/CKV_K8S_9',
      'safeguards/enforce-probes',
    ],
    find: (objects) =>
      complain(
        servingContainers(objects),
        ({ container }) => Object.values(probesOf(container)).includes(undefined),
        say('a probe is missing'),
      ),
    spoil: (objects) => delete first(objects).livenessProbe,
  },
  {
    title: 'readiness and liveness differ',
    answers: ['kube-score/pod-probes-identical'],
    find: (objects) =>
      complain(
        servingContainers(objects),
        ({ container: { readinessProbe: ready, livenessProbe: live } }) =>
          JSON.stringify([ready?.httpGet, ready?.tcpSocket, ready?.exec]) ===
          JSON.stringify([live?.httpGet, live?.tcpSocket, live?.exec]),
        say('readiness and liveness ask the same'),
      ),
    spoil: (objects) => {
      const container = first(objects);
      if (container.readinessProbe) container.livenessProbe = container.readinessProbe;
    },
  },
  {
    title: 'probes ask at ports that are there',
    answers: ['kube-linter/liveness-port', 'kube-linter/readiness-port', 'kube-linter/startup-port'],
    find: (objects) =>
      complain(
        servingContainers(objects),
        ({ container }) =>
          Object.values(probesOf(container)).some((probe) => {
            const port = probe?.httpGet?.port ?? probe?.tcpSocket?.port;
            const known = (container.ports ?? []).flatMap(({ name, containerPort }) => [name, containerPort]);
            return port !== undefined && !known.includes(port as string);
          }),
        say('a probe asks at a port that is not there'),
      ),
    spoil: (objects) => Object.assign(first(objects).livenessProbe?.httpGet ?? {}, { port: 'other' }),
  },
  {
    title: 'ports have names of their own, and need no privilege',
    answers: ['kube-score/container-ports-check', 'kube-linter/privileged-ports'],
    find: (objects) =>
      complain(
        containersOf(objects),
        ({ container: { ports = [] } }) =>
          new Set(ports.map(({ name }) => name)).size < ports.length ||
          ports.some(({ name, containerPort }) => !name || name.length > 15 || containerPort < 1024),
        say('a port is privileged or has no name of its own'),
      ),
    spoil: (objects) => Object.assign(first(objects).ports?.[0] ?? {}, { containerPort: 80 }),
  },
  {
    title: 'users and groups are numbers from 10000 up',
    answers: ['kube-score/container-security-context-user-group-id', 'checkov/CKV_K8S_40'],
    find: (objects) =>
      complain(
        containersOf(objects),
        ({ container, workload: { pod } }) =>
          (container.securityContext?.runAsUser ?? pod.securityContext?.runAsUser ?? 0) < 10_000 ||
          (pod.securityContext?.runAsGroup ?? 0) < 10_000,
        say('the user or group is below 10000'),
      ),
    spoil: (objects) => Object.assign(anyWorkload(objects).pod.securityContext ?? {}, { runAsUser: 1000 }),
  },
  {
    title: 'nothing runs as root',
    answers: ['kube-linter/run-as-non-root', 'checkov/CKV_K8S_23', 'kubescape/C-0013'],
    find: (objects) =>
      complain(
        containersOf(objects),
        ({ container, workload: { pod } }) =>
          (container.securityContext?.runAsNonRoot ?? pod.securityContext?.runAsNonRoot) !== true,
        say('may run as root'),
      ),
    spoil: (objects) => Object.assign(first(objects).securityContext ?? {}, { runAsNonRoot: false }),
  },
  {
    title: 'nothing is privileged',
    answers: ['kube-score/container-security-context-privileged', 'checkov/CKV_K8S_16', 'kubescape/C-0057'],
    find: (objects) =>
      complain(
        containersOf(objects),
        ({ container }) => container.securityContext?.privileged !== false,
        say('is privileged'),
      ),
    spoil: (objects) => Object.assign(first(objects).securityContext ?? {}, { privileged: true }),
  },
  {
    title: 'root file systems are read-only',
    answers: [
      'kube-score/container-security-context-readonlyrootfilesystem',
      'kube-linter/no-read-only-root-fs',
      'checkov/CKV_K8S_22',
      'kubescape/C-0017',
    ],
    find: (objects) =>
      complain(
        containersOf(objects),
        ({ container }) => container.securityContext?.readOnlyRootFilesystem !== true,
        say('can write to its root file system'),
      ),
    spoil: (objects) => delete first(objects).securityContext?.readOnlyRootFilesystem,
  },
  {
    title: 'privileges do not grow',
    answers: ['kube-linter/privilege-escalation-container', 'checkov/CKV_K8S_20', 'kubescape/C-0016'],
    find: (objects) =>
      complain(
        containersOf(objects),
        ({ container }) => container.securityContext?.allowPrivilegeEscalation !== false,
        say('may gain privileges'),
      ),
    spoil: (objects) => delete first(objects).securityContext?.allowPrivilegeEscalation,
  },
  {
    title: 'every capability is dropped',
    answers: [
      'kube-linter/drop-net-raw-capability',
      'checkov/CKV_K8S_28',
      'checkov/CKV_K8S_37',
      'kubescape/C-0046',
      'polaris/linuxHardening',
    ],
    find: (objects) =>
      complain(
        containersOf(objects),
        ({ container: { securityContext } }) =>
          securityContext?.capabilities?.drop?.includes('ALL') !== true ||
          securityContext.capabilities.add !== undefined,
        say('keeps a capability'),
      ),
    spoil: (objects) =>
      Object.assign(first(objects).securityContext?.capabilities ?? {}, { add: ['NET_RAW'] }),
  },
  {
    title: "system calls are filtered by the runtime's profile",
    answers: [
      'kube-score/container-seccomp-profile',
      'checkov/CKV_K8S_29',
      'checkov/CKV_K8S_30',
      'checkov/CKV_K8S_31',
      'kubescape/C-0055',
    ],
    find: (objects) =>
      complain(
        containersOf(objects),
        ({ container, workload: { pod } }) =>
          pod.securityContext?.seccompProfile?.type !== 'RuntimeDefault' ||
          container.securityContext === undefined,
        say('has no seccomp profile'),
      ),
    spoil: (objects) => delete anyWorkload(objects).pod.securityContext?.seccompProfile,
  },
  {
    title: 'nothing of the host is used',
    answers: ['kubescape/C-0044', 'pod-security/restricted-volumes'],
    find: (objects) =>
      complain(
        workloadsOf(objects),
        ({ pod, containers }) =>
          pod.hostNetwork === true ||
          pod.hostPID === true ||
          pod.hostIPC === true ||
          containers.some(({ ports = [] }) => ports.some(({ hostPort }) => hostPort !== undefined)) ||
          (pod.volumes ?? []).some((volume) =>
            Object.keys(volume).some((key) => key !== 'name' && !restrictedVolumes.has(key)),
          ),
        ({ object }) => `${nameOf(object)} uses something of the host`,
      ),
    spoil: (objects) =>
      Object.assign(anyWorkload(objects).pod, { volumes: [{ name: 'host', hostPath: { path: '/' } }] }),
  },
];
