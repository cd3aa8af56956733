import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { listen, type Logger } from '@countersign/service-kit';

/** A port of its own beside the main one: plain HTTP, and off unless asked for. */
export interface SidePort {
  /** Default 127.0.0.1. */
  host?: string | undefined;
  /** 0 lets the system choose. */
  port: number;
}

type Listener = (request: never, response: never) => unknown;

/** @returns the server and its address, such as `http://127.0.0.1:8444`. */
export const openSidePort = async (
  name: string,
  { host = '127.0.0.1', port }: SidePort,
  listener: Listener,
  logger: Logger,
): Promise<{ server: Server; address: string }> => {
  const server = createServer(listener as never);
  await listen(server, host, port);
  const bound = server.address() as AddressInfo;
  const address = `http://${bound.family === 'IPv6' ? `[${bound.address}]` : bound.address}:${bound.port}`;
  logger.info({ port_name: name, address }, `${name} port open`);
  return { server, address };
};

export const closeServer = async (
  server: Pick<Server, 'close' | 'closeAllConnections' | 'on' | 'once'>,
): Promise<void> => {
  const closed = once(server as Server, 'close');
  server.close();
  server.closeAllConnections();
  await closed;
};
