/** Headers that a caller may not set, each for what it would let it claim. In lower case; `*` ends a prefix. */
const reserved: readonly string[] = [
  'authorization', // the token is this library's to choose
  'proxy-authorization', // credentials for a proxy
  'cookie', // another user's session
  'host', // another virtual host behind the same address
  'x-host',
  'content-length', // with transfer-encoding: request smuggling
  'transfer-encoding',
  'te',
  'connection', // names headers for a proxy to drop
  'keep-alive', // the connection is this library's
  'proxy-connection',
  'upgrade', // another protocol on the same connection
  'http2-settings',
  'forwarded', // who the client is, believed by APIs behind a proxy
  'x-forwarded-*',
  'x-real-ip',
  'x-client-ip',
  'true-client-ip',
  'x-original-*', // another path than the one that was authorized
  'x-envoy-original-path',
  'x-rewrite-url',
  'x-url',
  'x-http-method-override', // another method than the one that was authorized
  'x-method-override',
  'x-http-method',
  'x-arr-clientcert', // a client certificate, believed by APIs behind a proxy
  'ssl-client-cert',
  'remote-user', // a signed-in user, believed by APIs behind a proxy
  'x-auth-request-*',
  'x-ms-*', // a signed-in user and its tokens, believed by Azure App Service
];

/** Whether a header is not a caller's to set. CGI and its heirs read `_` as `-`. */
export const isReservedHeader = (header: string): boolean => {
  const name = header.toLowerCase().replaceAll('_', '-');
  return reserved.some((entry) =>
    entry.endsWith('*') ? name.startsWith(entry.slice(0, -1)) : name === entry,
  );
};

/** @throws TypeError naming the first header that is reserved */
export const assertNoReservedHeader = (headers: Readonly<Record<string, string>>): void => {
  const name = Object.keys(headers).find(isReservedHeader);
  if (name !== undefined) throw new TypeError(`the header ${name} is reserved`);
};
