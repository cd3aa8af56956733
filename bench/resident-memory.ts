import { readFileSync } from 'node:fs';

/** Resident memory of a process, in MiB. Nothing of one that has ended. */
export const residentMegabytes = (pid: number): number => {
  try {
    const [, kilobytes] = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
    return Number(kilobytes ?? 0) / 1024;
  } catch {
    return 0;
  }
};

/** The most that each of some processes takes while something runs, in MiB, in their order. */
export const peaksWhile = async (
  pids: readonly number[],
  work: () => Promise<unknown>,
): Promise<number[]> => {
  let peaks = pids.map(residentMegabytes);
  const look = (): void => {
    peaks = pids.map((pid, index) => Math.max(peaks[index] as number, residentMegabytes(pid)));
  };
  const timer = setInterval(look, 50);
  try {
    await work();
  } finally {
    clearInterval(timer);
  }
  look();
  return peaks;
};

/** The most that something amounts to while something runs, looked at once a second: to look takes its time. */
export const peakWhile = async (
  look: () => Promise<number>,
  work: () => Promise<unknown>,
): Promise<number> => {
  let peak = 0;
  const lookAgain = async (): Promise<void> => {
    peak = Math.max(peak, await look());
  };
  let looking = lookAgain();
  const timer = setInterval(() => {
    looking = looking.then(lookAgain);
  }, 1_000);
  try {
    await work();
  } finally {
    clearInterval(timer);
    await looking;
  }
  await lookAgain();
  return peak;
};
