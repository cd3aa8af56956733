/** What containers are made from, and what they may use. */
import type { Container } from '../manifest.ts';
import { quantity } from '../quota.ts';
import { anyContainer, containersOf, say } from './placed.ts';
import { complain, type Rule } from './rule.ts';

const allSet = ({ resources }: Container, names: readonly string[]): boolean =>
  names.every((name) => resources?.requests?.[name] !== undefined && resources.limits?.[name] !== undefined);

export const resourceRules: readonly Rule[] = [
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
    spoil: (objects) => delete anyContainer(objects).resources?.limits?.['memory'],
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
    spoil: (objects) => Object.assign(anyContainer(objects).resources?.requests ?? {}, { cpu: '50m' }),
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
    spoil: (objects) => delete anyContainer(objects).resources?.requests?.['ephemeral-storage'],
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
    spoil: (objects) => Object.assign(anyContainer(objects), { image: 'registry.example/gateway:latest' }),
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
    spoil: (objects) => Object.assign(anyContainer(objects), { image: 'registry.azurecr.io/gateway:1.0.0' }),
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
      Object.assign(anyContainer(objects), { image: `docker.io/gateway@sha256:${'0'.repeat(64)}` }),
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
    spoil: (objects) => Object.assign(anyContainer(objects), { imagePullPolicy: 'IfNotPresent' }),
  },
];
