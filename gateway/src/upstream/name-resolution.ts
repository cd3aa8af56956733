import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';

export interface NameResolutionOptions {
  /** `http://records-api:8081` */
  address: string;
  /** Milliseconds from an answer to the next question. */
  everyMs: number;
  /** All addresses of a host name. Default: the system's. */
  resolve?: ((host: string) => Promise<string[]>) | undefined;
  /** Told the origins after each answer: what was named before and is not any more is gone. */
  onOrigins: (origins: readonly string[]) => void;
  onError: (error: unknown) => void;
}

export interface NameResolution {
  /** The first answer, whatever it is. */
  readonly ready: Promise<void>;
  /** Asks no more, and resolves once nothing is asked. */
  stop(): Promise<void>;
}

const resolveAll = async (host: string): Promise<string[]> =>
  (await lookup(host, { all: true })).map(({ address }) => address);

/** Whether an address names hosts that have to be looked up. With TLS the name stays, for its certificate. */
export const hasName = (address: string): boolean => {
  const { protocol, hostname } = new URL(address);
  return protocol === 'http:' && isIP(hostname.replace(/^\[|\]$/g, '')) === 0;
};

/** Follows what a name of plain HTTP stands for. */
export const followName = (options: NameResolutionOptions): NameResolution => {
  const { address, everyMs, resolve = resolveAll, onOrigins, onError } = options;
  const { hostname, port } = new URL(address);
  const toOrigin = (ip: string): string => `http://${isIP(ip) === 6 ? `[${ip}]` : ip}:${port || '80'}`;
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  const ask = async (): Promise<void> => {
    try {
      onOrigins((await resolve(hostname)).map(toOrigin));
    } catch (error) {
      onError(error);
    }
    if (stopped) return;
    timer = setTimeout(() => {
      asking = ask();
    }, everyMs);
    timer.unref();
  };
  let asking = ask();
  return {
    ready: asking,
    stop() {
      stopped = true;
      clearTimeout(timer);
      return asking;
    },
  };
};
