import { BlockList, isIP, SocketAddress } from 'node:net';

/** Which peers may say for whom they speak: load balancers in front of the gateway. */
export interface TrustedProxies {
  has(address: string): boolean;
}

/**
 * @param ranges addresses and CIDR ranges, of IPv4 and IPv6.
 * @throws {RangeError} for one that is neither.
 */
export const createTrustedProxies = (ranges: readonly string[]): TrustedProxies => {
  const list = new BlockList();
  for (const range of ranges) {
    const [, address = '', bits] = /^([^/]+)(?:\/(\d+))?$/.exec(range) ?? [];
    const family = isIP(address);
    const addressBits = family === 6 ? 128 : 32;
    const length = bits === undefined ? addressBits : Number(bits);
    if (family === 0 || length > addressBits) {
      throw new RangeError(`"${range}" is no address and no range such as 10.0.0.0/8`);
    }
    list.addSubnet(address, length, family === 6 ? 'ipv6' : 'ipv4');
  }
  return { has: (address) => ranges.length > 0 && isInList(list, address) };
};

const isInList = (list: BlockList, address: string): boolean => {
  const family = isIP(address);
  return family !== 0 && list.check(address, family === 6 ? 'ipv6' : 'ipv4');
};

/** Who sent a request, as far as that can be believed. */
export interface Client {
  address: string;
  /** The value of `X-Forwarded-For` for the upstream. */
  forwardedFor: string;
  proto: 'http' | 'https';
  host: string;
}

export interface Connection {
  /** Address of the peer. */
  peer: string;
  proto: 'http' | 'https';
  /** The `Host` of the request. */
  host: string;
}

/** What proxies say in front of the gateway: the values of their headers, undefined where absent. */
export interface ForwardedBy {
  for?: string | undefined;
  proto?: string | undefined;
  host?: string | undefined;
}

/** More proxies in a row there are not; each one that is read costs a look into the trusted ranges. */
const mostHops = 32;

/**
 * Reads `X-Forwarded-For` from the right: each trusted hop vouches for the one before it, and the first that is not
 * trusted is the client. What stands further left is the client's own claim, and is dropped. `X-Forwarded-Proto` and
 * `-Host` are believed of a trusted peer alone.
 */
export const readClient = (
  { peer, proto, host }: Connection,
  said: ForwardedBy,
  trusted: TrustedProxies,
): Client => {
  const address = withoutMapping(peer);
  if (!trusted.has(address)) return { address, forwardedFor: address, proto, host };
  const hops = [address];
  for (const hop of (said.for ?? '').split(',').slice(-mostHops).toReversed()) {
    const claimed = withoutMapping(withoutPort(hop.trim()));
    if (isIP(claimed) === 0) break;
    hops.unshift(claimed);
    if (!trusted.has(claimed)) break;
  }
  return {
    address: hops[0] as string,
    forwardedFor: hops.join(', '),
    proto: said.proto === 'https' || said.proto === 'http' ? said.proto : proto,
    host: said.host !== undefined && /^[\w.:[\]-]{1,255}$/.test(said.host) ? said.host : host,
  };
};

/** Azure's Application Gateway writes the port, `203.0.113.7:4711`; one after an IPv6 address needs brackets. */
const withoutPort = (hop: string): string =>
  /^(\d+(?:\.\d+){3}):\d+$/.exec(hop)?.[1] ?? /^\[(.+)\](?::\d+)?$/.exec(hop)?.[1] ?? hop;

/**
 * What counts as one client: an IPv4 address, or the /64 of an IPv6 address, whose owner has all that are in it
 * (RFC 6177 §2).
 */
export const networkOf = (address: string): string => {
  if (!address.includes(':')) return address;
  const [left = [], right = []] = address.split('::').map((half) => half.split(':'));
  const zeros = Array.from({ length: 8 - left.length - right.length }, () => '0');
  const groups = [...left, ...zeros, ...right].slice(0, 4);
  return `${groups.map((group) => parseInt(group || '0', 16).toString(16)).join(':')}::/64`;
};

/** Plain IPv4 of its form in IPv6 (RFC 4291 §2.5.5.2): of a peer on such a socket, or as proxies write it in any spelling. */
export const withoutMapping = (address: string): string => {
  if (!address.includes(':')) return address;
  if (isMapped(address)) return address.slice(7);
  if (!/:ffff:/i.test(address) || isIP(address) !== 6) return address;
  const usual = new SocketAddress({ address, family: 'ipv6' }).address;
  return isMapped(usual) ? usual.slice(7) : address;
};

const isMapped = (address: string): boolean => address.startsWith('::ffff:') && address.includes('.');
