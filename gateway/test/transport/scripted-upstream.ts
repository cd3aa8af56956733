import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';

/** One connection to a scripted upstream, which says what a test says and nothing else. */
export class UpstreamConnection {
  readonly socket: Socket;
  readonly closed: Promise<void>;
  received = Buffer.alloc(0);
  #taken = 0;
  #wake = (): void => {};

  constructor(socket: Socket) {
    this.socket = socket.setNoDelay(true);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.closed = promise;
    socket.on('error', () => {});
    socket.on('close', () => {
      resolve();
      this.#wake();
    });
    socket.on('data', (chunk: Buffer) => {
      this.received = Buffer.concat([this.received, chunk]);
      this.#wake();
    });
  }

  /** Waits for the next head of a request, and gives it. */
  async request(): Promise<string> {
    const end = await this.#find('\r\n\r\n');
    const head = this.received.toString('latin1', this.#taken, end);
    this.#taken = end + 4;
    return head;
  }

  /** Waits for bytes after the head. */
  async body(ending: string): Promise<string> {
    const start = this.#taken;
    const end = (await this.#find(ending)) + ending.length;
    this.#taken = end;
    return this.received.toString('latin1', start, end);
  }

  write(text: string | Buffer): this {
    this.socket.write(typeof text === 'string' ? Buffer.from(text, 'latin1') : text);
    return this;
  }

  /** Writes each piece so that it is read on its own. */
  async writePieces(pieces: Iterable<Buffer>): Promise<void> {
    for (const piece of pieces) {
      this.write(piece);
      await turns(2);
    }
  }

  async #find(text: string): Promise<number> {
    for (;;) {
      const index = this.received.indexOf(text, this.#taken, 'latin1');
      if (index >= 0) return index;
      if (this.socket.destroyed) throw new Error('the connection is closed');
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      await promise;
    }
  }
}

/** Lets the event loop go round so often. */
export const turns = async (count: number): Promise<void> => {
  for (let index = 0; index < count; index += 1) await turn();
};

/** Waits until a number stays the same for a while of the event loop. */
export const settled = async (measure: () => number): Promise<void> => {
  for (let last = -1, now = measure(); last !== now; now = measure()) {
    last = now;
    await turns(50);
  }
};

export interface ScriptedUpstream extends AsyncDisposable {
  origin: string;
  connections: UpstreamConnection[];
  /** The next connection that nobody has asked for yet. */
  accept(): Promise<UpstreamConnection>;
}

export const startUpstream = async (host = '127.0.0.1'): Promise<ScriptedUpstream> => {
  const connections: UpstreamConnection[] = [];
  let accepted = 0;
  const server = createServer((socket) => {
    connections.push(new UpstreamConnection(socket));
    server.emit('accepted');
  });
  server.listen(0, host);
  await once(server, 'listening');
  return {
    origin: `http://${host}:${(server.address() as AddressInfo).port}`,
    connections,
    async accept() {
      const index = accepted;
      accepted += 1;
      while (connections.length <= index) await once(server, 'accepted');
      return connections[index] as UpstreamConnection;
    },
    async [Symbol.asyncDispose]() {
      for (const { socket } of connections) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
};
