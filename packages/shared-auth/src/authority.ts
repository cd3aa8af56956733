/**
 * Origin of an authority host, in the one spelling that issuers are compared with.
 *
 * @throws TypeError unless it is an https origin, without credentials, path, query or fragment
 */
export const authorityOrigin = (authorityHost: URL | string): string => {
  const url = new URL(authorityHost);
  const isBare = url.pathname === '/' && url.search === '' && url.hash === '' && url.username === '';
  if (url.protocol !== 'https:' || !isBare) {
    throw new TypeError('authorityHost must be an https origin, such as https://login.microsoftonline.com');
  }
  return url.origin;
};
