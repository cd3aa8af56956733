import { startProxy, type Proxy, type ProxyName, type Surroundings } from './proxies.ts';
import type { Place } from './rounds.ts';

/** What every scenario is given. */
export interface Bench {
  rounds: number;
  place: Place;
  surroundings: Surroundings;
}

/** By proxy, then by what was measured, unit included. */
export type Figures = Readonly<Record<string, Readonly<Record<string, number>>>>;

export interface Outcome {
  /** Ours to theirs. */
  ratios: Readonly<Record<string, number>>;
  figures: Figures;
}

export const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

/** The median of the quotients within each round. */
export const medianRatio = (ours: readonly number[], theirs: readonly number[]): number =>
  median(ours.map((value, round) => value / (theirs[round] ?? Number.NaN)));

/** Three significant digits. */
export const rounded = (value: number): number => Number(value.toPrecision(3));

/** Fresh processes, for as long as `use` takes. */
export const withProxies = async <Result>(
  surroundings: Surroundings,
  names: readonly ProxyName[],
  use: (proxies: Proxy[]) => Promise<Result>,
): Promise<Result> => {
  const proxies: Proxy[] = [];
  try {
    for (const name of names) proxies.push(await startProxy(name, surroundings));
    return await use(proxies);
  } finally {
    for (const proxy of proxies) await proxy.stop();
  }
};

export const toTable = (figures: Figures): string => {
  const columns = [...new Set(Object.values(figures).flatMap((row) => Object.keys(row)))];
  const line = (name: string, cells: readonly string[]): string =>
    `  ${name.padEnd(24)}${cells.map((cell, index) => cell.padStart((columns[index]?.length ?? 0) + 2)).join('')}\n`;
  const rows = Object.entries(figures).map(([name, row]) =>
    line(
      name,
      columns.map((column) => String(row[column] ?? '')),
    ),
  );
  return [line('', columns), ...rows].join('');
};
