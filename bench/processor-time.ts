import { readFileSync } from 'node:fs';

/** Ticks of /proc's clock per second, on every Linux that Node runs on. */
const ticks = 100;

/** Processor time of a process so far, and of its children that have ended, in seconds. @param stat its line in /proc */
export const secondsOf = (stat: string): number => {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0) / ticks;
};

export const processorSeconds = (pid: number): number => secondsOf(readFileSync(`/proc/${pid}/stat`, 'utf8'));
