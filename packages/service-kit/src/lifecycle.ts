import type { RequestListener, Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { type StartingService, starts, stops, type StoppingService } from './completion.ts';
import { ConfigError } from './config.ts';
import { endProcess } from './end-process.ts';
import type { Readiness } from './health.ts';
import { createLogger, type Logger } from './logger.ts';

export interface ServeOptions {
  server: Server;
  host: string;
  /** 0 lets the system choose; the `listening` record says which it took. */
  port: number;
  logger: Logger;
  /** Flipped as soon as a stop is asked for. */
  readiness: Readiness;
  /**
   * How long connections and requests are still taken after that, in milliseconds: as long as whoever asks for
   * readiness may take to notice. Every answer then says `Connection: close`. Default 0.
   */
  drainDelayMs?: number;
  /** How long requests in flight may take once no more are taken, in milliseconds. */
  drainTimeoutMs: number;
  /** Called once, when no more connections are taken: ends those that have switched to another protocol. */
  endTunnels?: () => void;
  /** Called once, after the last request: close stores, pools, files. */
  close?: () => Promise<void> | void;
}

const idleCheckMs = 20;

/**
 * Listens, and stops in order on SIGTERM, SIGINT or when the parent process is gone: not ready, after a delay no new
 * connections, requests in flight to their end, `close`, exit 0. A second signal exits at once with 1.
 *
 * @throws {ConfigError} when the address cannot be listened on.
 */
export const serve = async (options: ServeOptions): Promise<AddressInfo> => {
  const { server, logger, readiness } = options;
  let state: 'serving' | 'stopping' | 'stopped' = 'serving';
  // The server itself forgets connections that never came to speak HTTP, such as one without a TLS handshake.
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });

  // A server of HTTP/2 closes its sessions itself, and has no such method.
  const closeIdle = (): void => (server as Partial<Server>).closeIdleConnections?.();
  const beforeAnswer: RequestListener = (_request, response) => {
    if (state === 'stopping') response.setHeader('Connection', 'close');
  };
  server.prependListener('request', beforeAnswer);
  // Without a listener Node turns these into requests itself.
  if (server.listenerCount('checkContinue') > 0) server.prependListener('checkContinue', beforeAnswer);

  const stop = async (reason: string): Promise<void> => {
    if (state === 'stopped') return;
    if (state === 'stopping') process.exit(1);
    state = 'stopping';
    readiness.accepting = false;
    logger.info({ reason }, 'stopping');
    if (options.drainDelayMs) await delay(options.drainDelayMs);
    const overdue = setTimeout(() => {
      logger.warn('requests in flight were cut off: the drain timeout has passed');
      for (const socket of sockets) socket.destroy();
    }, options.drainTimeoutMs);
    // close() alone waits for connections that turn idle only after it was called.
    const idle = setInterval(closeIdle, idleCheckMs);
    await new Promise((resolve) => {
      server.close(resolve);
      closeIdle();
      options.endTunnels?.();
    });
    clearTimeout(overdue);
    clearInterval(idle);
    await options.close?.();
    await sayStopping();
    logger.info('stopped');
    state = 'stopped';
    endProcess(0);
  };
  const stopOrFail = (reason: string): void => {
    stop(reason).catch((error: unknown) => {
      logger.fatal({ err: error }, 'stopping failed');
      process.exit(1);
    });
  };

  await listen(server, options.host, options.port);
  const address = server.address() as AddressInfo;
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => stopOrFail(signal));
  process.once('disconnect', () => stopOrFail('parent process ended'));
  logger.info({ 'server.address': address.address, 'server.port': address.port }, 'listening');
  // To whoever started this process with a channel, whatever the level of the log.
  process.send?.({ listening: address.port }, undefined, undefined, () => undefined);
  return address;
};

/** Waits for those that have something to send before the process ends. */
const sayStopping = async (): Promise<void> => {
  const work: Promise<unknown>[] = [];
  stops.publish({ waitFor: (more) => work.push(more) } satisfies StoppingService);
  await Promise.all(work);
};

const listenProblems: Readonly<Record<string, string>> = {
  EADDRINUSE: 'is taken',
  EACCES: 'needs a privilege that this process lacks',
  EADDRNOTAVAIL: 'is on no network interface of this machine',
  ENOTFOUND: 'cannot be resolved',
};

/**
 * Listens.
 *
 * @param setting what the port is called in the configuration.
 * @throws {ConfigError} that names the address.
 */
export const listen = async (server: Server, host: string, port: number, setting = 'PORT'): Promise<void> => {
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, host, () => {
        server.off('error', reject);
        resolve();
      });
    });
  } catch (error) {
    const problem = listenProblems[(error as NodeJS.ErrnoException).code ?? ''];
    if (problem === undefined) throw error;
    throw new ConfigError([`${setting} ${port} on ${host} ${problem}`]);
  }
};

/**
 * Runs a service's `main`. Everything that it says is a JSON record: warnings of Node, errors that nobody caught, and
 * a configuration that cannot be used, which is one sentence and exit code 1.
 */
export const runService = async (
  service: { name: string; version: string },
  main: () => Promise<unknown>,
): Promise<void> => {
  const logger = createLogger(service);
  let failed = false;
  const say = (error: unknown): void => {
    // What comes after the first is its consequence.
    if (failed) return;
    failed = true;
    if (error instanceof ConfigError) logger.fatal(error.message);
    else logger.fatal({ err: error }, 'the service cannot go on');
  };
  const die = (error: unknown): never => {
    say(error);
    process.exit(1);
  };
  process.removeAllListeners('warning');
  process.on('warning', (warning) => logger.warn({ err: warning }, 'warning of the runtime'));
  process.on('uncaughtException', die);
  process.on('unhandledRejection', die);
  starts.publish({ ...service, logger } satisfies StartingService);
  await main().catch((error: unknown) => {
    say(error);
    endProcess(1);
  });
};
