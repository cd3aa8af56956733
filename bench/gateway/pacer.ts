import { parentPort, workerData } from 'node:worker_threads';

// Run by fixed-rate.ts in a thread that may block: says when each request is due. Timers of an event loop are as coarse
// as what is measured.
const { startNs, periodNs, count } = workerData as { startNs: bigint; periodNs: bigint; count: number };
const never = new Int32Array(new SharedArrayBuffer(4));
for (let index = 0; index < count; index += 1) {
  const waitMs = Number(startNs + BigInt(index) * periodNs - process.hrtime.bigint()) / 1e6;
  if (waitMs > 0) Atomics.wait(never, 0, 0, waitMs);
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- to a thread, not to a window
  parentPort?.postMessage(index);
}
