/** What a pool needs to know about a connection. */
export interface Poolable {
  /** Closes it at once. */
  destroy(): void;
}

/** The connections to one upstream. The one used last is taken first, so that those not needed grow old and close. */
export class ConnectionPool<Connection extends Poolable> {
  readonly #max: number;
  readonly #open = new Set<Connection>();
  readonly #idle: Connection[] = [];
  #closing: (() => void) | undefined;

  constructor(max: number) {
    this.#max = max;
  }

  get open(): number {
    return this.#open.size;
  }

  get idle(): number {
    return this.#idle.length;
  }

  get full(): boolean {
    return this.#open.size >= this.#max;
  }

  take(): Connection | undefined {
    return this.#idle.pop();
  }

  add(connection: Connection): Connection {
    this.#open.add(connection);
    return connection;
  }

  /** Gives back a connection that can carry another request. */
  release(connection: Connection): void {
    if (!this.#open.has(connection)) return;
    if (this.#closing) connection.destroy();
    else this.#idle.push(connection);
  }

  /** Forgets a connection that is closed. */
  drop(connection: Connection): void {
    if (!this.#open.delete(connection)) return;
    const index = this.#idle.lastIndexOf(connection);
    if (index !== -1) this.#idle.splice(index, 1);
    if (this.#open.size === 0) this.#closing?.();
  }

  /** Closes idle connections now, and the others as they come back. */
  async close(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const earlier = this.#closing;
    this.#closing = () => {
      earlier?.();
      resolve();
    };
    for (const connection of this.#idle.splice(0)) connection.destroy();
    if (this.#open.size === 0) resolve();
    await promise;
  }
}
