import { Connection } from './connection.ts';
import { ConnectionPool } from './connection-pool.ts';
import { Deadlines } from './deadlines.ts';
import { InFlight } from './exchange-base.ts';
import { Http1Exchange } from './http1-exchange.ts';
import type { Transport, TransportOptions } from './transport.ts';

/**
 * The way to an upstream through a strict HTTP/1.1 client of our own, for `http:` alone.
 *
 * @throws {TypeError} when the origin is not `http://host[:port]`.
 */
export const createHttp1Transport = (origin: string, options: TransportOptions = {}): Transport => {
  const { hostname, port, host, protocol } = new URL(origin);
  if (protocol !== 'http:') throw new TypeError(`not an http: origin: ${origin}`);
  const deadlines = new Deadlines(options.clock);
  const inFlight = new InFlight(deadlines);
  const pool = new ConnectionPool<Connection>(options.maxConnections ?? 1024);
  const connectionOptions = {
    host: hostname.replace(/^\[(.*)\]$/, '$1'),
    port: Number(port || 80),
    authority: host,
    idleMs: options.idleConnectionMs ?? 4000,
    maxIdleMs: options.maxIdleConnectionMs ?? 60_000,
    deadlines,
    pool,
  };

  const takeConnection = (): Connection | undefined => {
    for (let idle = pool.take(); idle; idle = pool.take()) {
      if (!idle.expired) return idle;
      idle.destroy();
    }
    return pool.full ? undefined : pool.add(new Connection(connectionOptions));
  };

  return {
    send(request, sink, timeouts) {
      const exchange = new Http1Exchange(request, sink, timeouts, inFlight);
      const connection = takeConnection();
      exchange.connection = connection;
      if (connection) connection.carry(exchange);
      else exchange.fail('closed', 'too many connections');
      exchange.returned = true;
      return exchange;
    },
    get stats() {
      return { open: pool.open, idle: pool.idle, inFlight: inFlight.count };
    },
    close: () => pool.close(),
  };
};
