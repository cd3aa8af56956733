import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';

export interface ScriptedServer extends AsyncDisposable {
  origin: string;
  /** What it does with each request that it has read a head of. */
  answer: (socket: Socket, head: string) => void;
  /** Heads of requests that it has read, as bytes. */
  heads: string[];
  /** Stops listening; those connected are closed. */
  stop(): Promise<void>;
  /** Listens again, where it did. */
  restart(): Promise<void>;
}

/** An upstream on a bare socket, which says what a test has it say. */
export const startScripted = async (answer: ScriptedServer['answer']): Promise<ScriptedServer> => {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => sockets.delete(socket));
    let pending = '';
    socket.on('data', (chunk: Buffer) => {
      pending += chunk.toString('latin1');
      if (!pending.includes('\r\n\r\n')) return;
      const head = pending;
      pending = '';
      scripted.heads.push(head);
      scripted.answer(socket, head);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const stop = async (): Promise<void> => {
    for (const socket of sockets) socket.destroy();
    if (!server.listening) return;
    server.close();
    await once(server, 'close');
  };
  const scripted: ScriptedServer = {
    origin: `http://127.0.0.1:${port}`,
    answer,
    heads: [],
    stop,
    async restart() {
      server.listen(port, '127.0.0.1');
      await once(server, 'listening');
    },
    [Symbol.asyncDispose]: stop,
  };
  return scripted;
};

/** A whole answer, after which the connection stays open. */
export const small = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
