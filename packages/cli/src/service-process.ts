import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

/** One line that a service logged: parsed where it is a JSON object, as every line should be. */
export interface LogLine {
  service: string;
  text: string;
  record?: Readonly<Record<string, unknown>>;
}

export interface ServiceProcessOptions {
  /** Name, as its records give it. */
  name: string;
  /** The module to run. */
  main: string;
  /** A module to load before it. */
  preload?: string;
  /** Its whole environment. */
  env: Readonly<Record<string, string>>;
  onLine?: ((line: LogLine) => void) | undefined;
  /** Gives up waiting. */
  signal?: AbortSignal | undefined;
}

export interface ServiceProcess {
  name: string;
  /** The port that it listens on. */
  port: number;
  child: ChildProcess;
  /** Resolves when the process is gone, to its exit code (null after a signal). */
  exited: Promise<number | null>;
  /** Asks the service to stop, waits until it has, for half a minute at most; true when it exited with 0. */
  stop(): Promise<boolean>;
}

/** More than a service gives its requests in flight. One that still runs then is killed. */
const stopMs = 30_000;

/** Why a service did not come up: its own last words. */
export class ServiceStartError extends Error {
  override readonly name = 'ServiceStartError';
}

/**
 * Runs a service from its sources and waits until it listens.
 *
 * @throws {ServiceStartError} when it ends before that.
 */
export const startService = async (options: ServiceProcessOptions): Promise<ServiceProcess> => {
  const { name, main, preload, env, onLine, signal } = options;
  const before = preload === undefined ? [] : ['--import', preload];
  const child = spawn(process.execPath, ['--conditions=source', ...before, main], {
    env,
    // A group of its own, so that Ctrl-C reaches the launcher alone, which stops the services in order. The channel
    // tells the service when the launcher is gone.
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  const exited = once(child, 'close').then(([code]) => code as number | null);

  const port = new Promise<number>((resolve) => {
    child.on('message', (message) => {
      const { listening } = message as { listening?: number };
      if (listening !== undefined) resolve(listening);
    });
  });
  const lastWords = readLines(child, name, onLine);

  const died = exited.then((code) => {
    if (signal?.aborted) throw new ServiceStartError(`${name} was stopped before it was up`);
    throw new ServiceStartError(`${name} did not start (exit code ${code}). ${lastWords()}`.trimEnd());
  });
  const stop = async (): Promise<boolean> => {
    askToEnd(child);
    return (await exited) === 0;
  };
  const giveUp = (): void => askToEnd(child);
  if (signal?.aborted) giveUp();
  signal?.addEventListener('abort', giveUp, { once: true });
  try {
    return { name, port: await Promise.race([port, died]), child, exited, stop };
  } finally {
    signal?.removeEventListener('abort', giveUp);
  }
};

/**
 * Runs a step that a service needs done before it starts, to its end.
 *
 * @throws {ServiceStartError} when it fails.
 */
export const runStep = async ({ name, main, env, onLine, signal }: ServiceProcessOptions): Promise<void> => {
  const child = spawn(process.execPath, ['--conditions=source', main], {
    env,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const lastWords = readLines(child, name, onLine);
  const giveUp = (): void => askToEnd(child);
  if (signal?.aborted) giveUp();
  signal?.addEventListener('abort', giveUp, { once: true });
  const [code] = (await once(child, 'close')) as [number | null];
  signal?.removeEventListener('abort', giveUp);
  if (signal?.aborted) throw new ServiceStartError(`${name} was stopped before it was up`);
  if (code === 0) return;
  throw new ServiceStartError(`${name} was not prepared (exit code ${code}). ${lastWords()}`.trimEnd());
};

/** The process itself keeps this one waiting, and not the timer. */
const askToEnd = (child: ChildProcess): void => {
  child.kill('SIGTERM');
  setTimeout(() => child.kill('SIGKILL'), stopMs).unref();
};

/** Passes on what a process says. @returns what it said last when it could not go on */
const readLines = (
  { stdout, stderr }: ChildProcess,
  service: string,
  onLine: ServiceProcessOptions['onLine'],
): (() => string) => {
  let lastWords = '';
  createInterface({ input: stdout as NodeJS.ReadableStream }).on('line', (text) => {
    const record = parseRecord(text);
    if (record?.['level'] === 'fatal') lastWords = sentenceOf(record);
    onLine?.({ service, text, ...(record && { record }) });
  });
  createInterface({ input: stderr as NodeJS.ReadableStream }).on('line', (text) => {
    lastWords ||= text;
    onLine?.({ service, text });
  });
  return () => lastWords;
};

const parseRecord = (text: string): Record<string, unknown> | undefined => {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
};

const sentenceOf = ({ msg, err }: Record<string, unknown>): string => {
  const { message } = (err ?? {}) as { message?: string };
  return message ? `${String(msg)}: ${message}` : String(msg);
};
