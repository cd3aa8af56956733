/**
 * The claims that a `WWW-Authenticate` header asks for ("Claims challenges", identity platform), as JSON text; undefined
 * unless it is a well-formed claims challenge.
 */
export const claimsOfChallenge = (header: string | undefined): string | undefined => {
  if (header === undefined || !/error="insufficient_claims"/i.test(header)) return undefined;
  const encoded = /\bclaims="(?<claims>[A-Za-z0-9+/_=-]{1,8192})"/i.exec(header)?.groups?.['claims'];
  if (encoded === undefined) return undefined;
  const claims = Buffer.from(encoded, 'base64').toString('utf8');
  try {
    const value: unknown = JSON.parse(claims);
    return typeof value === 'object' && value !== null ? claims : undefined;
  } catch {
    return undefined;
  }
};
