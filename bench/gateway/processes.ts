import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { setTimeout } from 'node:timers/promises';

/** A process of its own, with the processes that it starts. */
export interface Program {
  name: string;
  pid: number;
  stop: () => Promise<void>;
}

export interface ProgramSettings {
  name: string;
  command: string;
  args: readonly string[];
  /** The whole environment but for PATH. */
  env?: Readonly<Record<string, string>>;
  /** The one core that it runs on. */
  core: number;
}

const running = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of running) child.kill();
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));

/** Starts a program on a core; it ends with this process at the latest. What it prints goes to /dev/null. */
export const start = ({ name, command, args, env = {}, core }: ProgramSettings): Program => {
  const { PATH = '' } = process.env;
  const child = spawn('taskset', ['-c', String(core), command, ...args], {
    env: { PATH, ...env },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  running.add(child);
  child.once('exit', () => running.delete(child));
  const stop = async (): Promise<void> => {
    if (!running.has(child)) return;
    const exited = once(child, 'exit');
    // By SIGTERM: nginx's worker would outlive a master that is killed.
    child.kill();
    await exited;
  };
  return { name, pid: child.pid ?? 0, stop };
};

/** This process, and all that it starts without a core of its own, onto a core. */
export const moveTo = (core: number): void => {
  execFileSync('taskset', ['-a', '-c', '-p', String(core), String(process.pid)], { stdio: 'ignore' });
};

/** A free port of loopback, below those that Linux gives to outgoing connections, one of which might take it first. */
export const freePort = async (): Promise<number> => {
  for (;;) {
    const server = createServer().listen(randomInt(20_000, 32_000), '127.0.0.1');
    try {
      await once(server, 'listening');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EADDRINUSE') continue;
      throw error;
    }
    const { port } = server.address() as AddressInfo;
    server.close();
    await once(server, 'close');
    return port;
  }
};

/** Waits until a URL answers 200, a minute at most. */
export const answering = async (
  name: string,
  url: string,
  headers: Record<string, string>,
): Promise<void> => {
  let last = 'nothing';
  for (let attempt = 0; attempt < 600; attempt += 1) {
    try {
      const response = await fetch(url, { headers });
      await response.arrayBuffer();
      if (response.status === 200) return;
      last = String(response.status);
    } catch (error) {
      last = (error as Error).message;
    }
    await setTimeout(100);
  }
  throw new Error(`${name} does not answer as it should: ${last}`);
};

const read = (path: string): string => {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // A process that has just ended.
    return '';
  }
};

const family = (pid: number): number[] => {
  const tasks = read(`/proc/${pid}/stat`) === '' ? [] : readdirSync(`/proc/${pid}/task`);
  const children = tasks.flatMap((task) => read(`/proc/${pid}/task/${task}/children`).split(' '));
  return [pid, ...children.filter((child) => child.trim() !== '').flatMap((child) => family(Number(child)))];
};

/** Linux counts processor time in hundredths of a second, whatever its own clock. */
const tickMs = 10;

/** After the name, which may hold anything, fields have fixed places: `man 5 proc`, from the third on. */
const statOf = (pid: number): string[] =>
  read(`/proc/${pid}/stat`)
    .replace(/^.*\) /s, '')
    .split(' ');
const sumOf = (fields: readonly string[], from: number, to: number): number =>
  fields.slice(from, to).reduce((sum, ticks) => sum + Number(ticks), 0) * tickMs;

/** User and system time of a process and those that it started, in milliseconds. */
export const cpuMs = (pid: number): number =>
  family(pid).reduce((sum, member) => sum + sumOf(statOf(member), 11, 13), 0);

/** As {@link cpuMs}, together with that of children that have ended and were waited for. */
export const cpuWithEndedMs = (pid: number): number => cpuMs(pid) + sumOf(statOf(pid), 13, 15);

/** Time that a core did not idle, in milliseconds, stolen time of a virtual machine included. */
export const busyMs = (core: number): number => {
  const line = read('/proc/stat')
    .split('\n')
    .find((text) => text.startsWith(`cpu${core} `));
  const [, user, nice, system, , , irq, softIrq, steal] = (line ?? '').split(' ').map(Number);
  return (
    [user, nice, system, irq, softIrq, steal].reduce<number>((sum, ticks) => sum + (ticks ?? 0), 0) * tickMs
  );
};

/** Resident memory of a process and those that it started, in MiB. */
export const residentMegabytes = (pid: number): number =>
  family(pid).reduce(
    (sum, member) => sum + Number(/VmRSS:\s+(\d+) kB/.exec(read(`/proc/${member}/status`))?.[1] ?? 0) / 1024,
    0,
  );
