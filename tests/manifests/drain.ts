import { nameOf, workloadsOf, type Manifest, type Workload } from './manifest.ts';
import { environmentOf } from './environment.ts';

export interface Drain {
  /** Endpoints are taken from the nodes meanwhile; the process knows nothing of it. */
  preStopMs: number;
  /** Not ready, and still taking work. */
  delayMs: number;
  /** Requests in flight. */
  timeoutMs: number;
  graceMs: number;
}

/** What is left to the process to close its pools. */
const closeMs = 5_000;

/** How a workload's pods are stopped, as its manifest has it. */
export const drainOf = (objects: readonly Manifest[], workload: Workload): Drain => {
  const [container] = workload.pod.containers;
  const environment = container ? environmentOf(objects, workload, container) : {};
  return {
    preStopMs: (container?.lifecycle?.preStop?.sleep?.seconds ?? 0) * 1_000,
    delayMs: Number(environment['DRAIN_DELAY_MS'] ?? 0),
    timeoutMs: Number(environment['DRAIN_TIMEOUT_MS'] ?? 0),
    graceMs: (workload.pod.terminationGracePeriodSeconds ?? 30) * 1_000,
  };
};

export const drainProblems = (objects: readonly Manifest[]): string[] =>
  workloadsOf(objects)
    .filter(({ object }) => object.kind === 'Deployment')
    .flatMap((workload) => {
      const { preStopMs, delayMs, timeoutMs, graceMs } = drainOf(objects, workload);
      const { readinessProbe } = workload.pod.containers[0] ?? {};
      const noticeMs =
        (readinessProbe?.periodSeconds ?? 10) * (readinessProbe?.failureThreshold ?? 3) * 1_000;
      const name = nameOf(workload.object);
      return [
        ...(preStopMs === 0 ? [`${name} stops while nodes still send to it`] : []),
        ...(delayMs <= noticeMs ? [`${name} stops before its readiness has been missed`] : []),
        ...(preStopMs + delayMs + timeoutMs + closeMs > graceMs ? [`${name} is killed while it drains`] : []),
      ];
    });
