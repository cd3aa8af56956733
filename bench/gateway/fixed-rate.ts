import { Worker } from 'node:worker_threads';
import { onEachAnswer, open, requestBytes } from './raw-client.ts';

export interface FixedRate {
  url: URL;
  headers: Readonly<Record<string, string>>;
  perSecond: number;
  seconds: number;
  connections: number;
}

export interface FixedRateReport {
  p50Ms: number;
  p99Ms: number;
  /** How late requests were sent, for want of a connection or of this process's time; part of the latencies. */
  lateP99Ms: number;
}

const percentile = (values: readonly number[], share: number): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length * share)] ?? Number.NaN;

/**
 * Sends requests when they are due, however late answers are, and counts latencies from when they were due, so that
 * one slow answer is seen in all the requests that it keeps waiting.
 *
 * @throws {Error} for an answer that is not 200, or a connection that fails.
 */
export const loadAtFixedRate = async (settings: FixedRate): Promise<FixedRateReport> => {
  const { url, headers, perSecond, seconds, connections } = settings;
  const bytes = requestBytes(url, headers);
  const sockets = await Promise.all(Array.from({ length: connections }, () => open(url)));
  const count = Math.floor(perSecond * seconds);
  const periodNs = BigInt(Math.floor(1e9 / perSecond));
  // Once the thread is there.
  const startNs = process.hrtime.bigint() + 200_000_000n;
  const lateMs: number[] = [];
  const latenciesMs: number[] = [];
  const sinceDueMs = (index: number): number =>
    Number(process.hrtime.bigint() - startNs - BigInt(index) * periodNs) / 1e6;
  const { promise, resolve, reject } = Promise.withResolvers<void>();

  const waiting: number[] = [];
  const free: ((index: number) => void)[] = [];
  for (const socket of sockets) {
    let current = 0;
    const send = (index: number): void => {
      current = index;
      lateMs.push(sinceDueMs(index));
      socket.write(bytes);
    };
    const answered = (): void => {
      latenciesMs.push(sinceDueMs(current));
      if (latenciesMs.length === count) resolve();
      const next = waiting.shift();
      if (next === undefined) free.push(send);
      else send(next);
    };
    onEachAnswer(socket, answered, reject);
    free.push(send);
  }
  const pacer = new Worker(new URL('pacer.ts', import.meta.url), {
    workerData: { startNs, periodNs, count },
  });
  pacer.on('message', (index: number) => {
    const send = free.pop();
    if (send) send(index);
    else waiting.push(index);
  });
  pacer.on('error', reject);
  try {
    await promise;
  } finally {
    for (const socket of sockets) socket.destroy();
    await pacer.terminate();
  }
  return {
    p50Ms: percentile(latenciesMs, 0.5),
    p99Ms: percentile(latenciesMs, 0.99),
    lateP99Ms: percentile(lateMs, 0.99),
  };
};
