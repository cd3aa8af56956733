/** One thing to measure; `run` is called once per operation. */
export interface BenchCase {
  name: string;
  run: () => unknown;
  /** Operations per round. */
  operations: number;
}

/** Median microseconds per operation, by case. */
export type Medians = Readonly<Record<string, number>>;

const median = (values: readonly number[]): number => {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
};

/**
 * Measures cases in turn, round after round, so that whatever else the machine does hits them all alike. The first
 * rounds warm up and do not count.
 */
export const interleave = async (cases: readonly BenchCase[], rounds: number): Promise<Medians> => {
  const warmUp = 5;
  const samples = new Map<string, number[]>(cases.map(({ name }) => [name, []]));
  for (let round = 0; round < rounds + warmUp; round += 1) {
    for (const { name, run, operations } of cases) {
      const startNs = process.hrtime.bigint();
      for (let operation = 0; operation < operations; operation += 1) {
        const pending = run();
        // Something synchronous is not made to wait for a promise that it does not need.
        if (pending instanceof Promise) await pending;
      }
      const elapsedUs = Number(process.hrtime.bigint() - startNs) / 1000;
      if (round >= warmUp) samples.get(name)?.push(elapsedUs / operations);
    }
  }
  return Object.fromEntries([...samples].map(([name, values]) => [name, median(values)]));
};

/** Names and medians in columns. */
export const toTable = (medians: Medians): string =>
  Object.entries(medians)
    .map(([name, us]) => `  ${name.padEnd(48)}${us.toFixed(2).padStart(10)} µs`)
    .join('\n');

/** Rounded to three significant digits. */
export const ratio = (ours: number | undefined, theirs: number | undefined): number =>
  Number(((ours ?? Number.NaN) / (theirs ?? Number.NaN)).toPrecision(3));
