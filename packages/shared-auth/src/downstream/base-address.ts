/** Addresses of this machine, which nothing leaves on the way. */
const isLoopback = (hostname: string): boolean =>
  hostname === 'localhost' || hostname === '[::1]' || /^127(?:\.\d{1,3}){3}$/.test(hostname);

/**
 * The address that an API's requests stay below, ending in a slash.
 *
 * @throws TypeError unless it is https, without credentials, query and fragment; plain http only to this machine or
 *   where `allowPlainHttp` says so
 */
export const parseBaseUrl = (baseUrl: URL | string, allowPlainHttp: boolean): URL => {
  const url = new URL(baseUrl);
  const isPlain = url.protocol === 'http:' && (allowPlainHttp || isLoopback(url.hostname));
  if (url.protocol !== 'https:' && !isPlain) {
    throw new TypeError('baseUrl must be https: over plain http everybody on the way reads the token');
  }
  if (`${url.search}${url.hash}${url.username}${url.password}` !== '') {
    throw new TypeError('baseUrl must have no credentials, query or fragment');
  }
  return new URL(url.href.replace(/\/?$/, '/'));
};

/** What one server reads as a part of a name and the next one as a separator: `%2f`, `%5c`, `%00` and `..;`. */
const ambiguous = /%2f|%5c|%00|\.\.;/i;

/** @throws TypeError for a path that leaves the base address, or that servers read in different ways */
export const resolveBelow = (
  base: URL,
  { path, query = {} }: { path: string; query?: Readonly<Record<string, string>> },
): URL => {
  if (ambiguous.test(path)) throw new TypeError('the path has an encoded separator');
  const url = new URL(path.replace(/^\/+/, ''), base);
  if (url.origin !== base.origin || !url.pathname.startsWith(base.pathname)) {
    throw new TypeError(`the path ${path} leaves the base address`);
  }
  for (const [key, value] of Object.entries(query)) url.searchParams.append(key, value);
  return url;
};
