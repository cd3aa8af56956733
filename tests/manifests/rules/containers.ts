/** What containers are told, and how they are asked how they are. */
import { nameOf, ofKind, type Container } from '../manifest.ts';
import { anyContainer, containersOf, podContainers, say, servingContainers } from './placed.ts';
import { anyObject, anyWorkload, complain, type Rule } from './rule.ts';

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

export const containerRules: readonly Rule[] = [
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
      Object.assign(anyContainer(objects), {
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
    spoil: (objects) =>
      Object.assign(anyContainer(objects), { env: [{ name: 'CLIENT_SECRET', value: 'x' }] }),
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
    ],
    find: (objects) =>
      complain(
        servingContainers(objects),
        ({ container }) => Object.values(probesOf(container)).includes(undefined),
        say('a probe is missing'),
      ),
    spoil: (objects) => delete anyContainer(objects).livenessProbe,
  },
  {
    title: 'jobs are probed too: the safeguards refuse their pods otherwise',
    answers: ['safeguards/enforce-probes'],
    find: (objects) =>
      complain(
        podContainers(objects),
        ({ container }) => !container.readinessProbe || !container.livenessProbe,
        say('readiness or liveness is not probed'),
      ),
    spoil: (objects) => delete anyWorkload(objects, 'Job').pod.containers[0]?.readinessProbe,
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
      const container = anyContainer(objects);
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
            return port !== undefined && !known.includes(port);
          }),
        say('a probe asks at a port that is not there'),
      ),
    spoil: (objects) => Object.assign(anyContainer(objects).livenessProbe?.httpGet ?? {}, { port: 'other' }),
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
    spoil: (objects) => Object.assign(anyContainer(objects).ports?.[0] ?? {}, { containerPort: 80 }),
  },
];
