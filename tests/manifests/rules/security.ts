/** What containers run as. */
import { nameOf, workloadsOf } from '../manifest.ts';
import { anyContainer, containersOf, say } from './placed.ts';
import { anyWorkload, complain, type Rule } from './rule.ts';

const restrictedVolumes = new Set([
  'configMap',
  'csi',
  'emptyDir',
  'ephemeral',
  'persistentVolumeClaim',
  'projected',
  'secret',
]);

export const securityRules: readonly Rule[] = [
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
    spoil: (objects) => Object.assign(anyContainer(objects).securityContext ?? {}, { runAsNonRoot: false }),
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
    spoil: (objects) => Object.assign(anyContainer(objects).securityContext ?? {}, { privileged: true }),
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
    spoil: (objects) => delete anyContainer(objects).securityContext?.readOnlyRootFilesystem,
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
    spoil: (objects) => delete anyContainer(objects).securityContext?.allowPrivilegeEscalation,
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
      Object.assign(anyContainer(objects).securityContext?.capabilities ?? {}, { add: ['NET_RAW'] }),
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
