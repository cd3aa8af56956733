import { nameOf, workloadsOf, type Container, type Manifest, type Workload } from '../manifest.ts';
import { anyWorkload, isServing } from './rule.ts';

/** A container and where it is. */
export interface Placed {
  container: Container;
  workload: Workload;
}

export const containersOf = (objects: readonly Manifest[]): Placed[] =>
  workloadsOf(objects).flatMap((workload) =>
    workload.containers.map((container) => ({ container, workload })),
  );

/** Without what runs before them, which is not probed. */
export const podContainers = (objects: readonly Manifest[]): Placed[] =>
  workloadsOf(objects).flatMap((workload) =>
    workload.pod.containers.map((container) => ({ container, workload })),
  );

/** Those that run for good. */
export const servingContainers = (objects: readonly Manifest[]): Placed[] =>
  podContainers(objects).filter(({ workload }) => isServing(workload));

export const say =
  (what: string) =>
  ({ container, workload }: Placed): string =>
    `${nameOf(workload.object)}, container ${container.name}: ${what}`;

/** The first container, for spoiling. */
export const anyContainer = (objects: readonly Manifest[]): Container =>
  anyWorkload(objects).pod.containers[0] as Container;
