/** Headers that a caller may not set, each for what it would let it claim. In lower case; `*` ends a prefix. */
const reserved: readonly string[] = [
  'authorization', // the token is this library's to choose
  'proxy-authorization', // credentials for a proxy
  'cookie', // another user's session
  'host', // another virtual host behind the same address
  'content-length', // with transfer-encoding: request smuggling
  'transfer-encoding',
  'connection', // names headers for a proxy to drop
  'upgrade', // another protocol on the same connection
  'forwarded', // who the client is, believed by APIs behind a proxy
  'x-forwarded-*',
  'x-original-*', // another path than the one that was authorized
  'x-rewrite-url',
  'x-ms-client-principal*', // a signed-in user, believed by Azure App Service
  'x-ms-token-*',
];

/** Whether a header (lower case) is not a caller's to set. */
export const isReservedHeader = (name: string): boolean =>
  reserved.some((entry) => (entry.endsWith('*') ? name.startsWith(entry.slice(0, -1)) : name === entry));

/** @throws TypeError naming the first header that is reserved */
export const assertNoReservedHeader = (headers: Readonly<Record<string, string>>): void => {
  const name = Object.keys(headers).find((each) => isReservedHeader(each.toLowerCase()));
  if (name !== undefined) throw new TypeError(`the header ${name} is reserved`);
};
