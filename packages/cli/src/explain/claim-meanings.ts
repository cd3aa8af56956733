type Claims = Readonly<Record<string, unknown>>;

const credentials: Readonly<Record<string, string>> = {
  '0': 'by nothing: a public client',
  '1': 'by a client secret',
  '2': 'by a certificate or a federated token',
};

const ago = (seconds: unknown, nowMs: number): string => {
  if (typeof seconds !== 'number' || !(Math.abs(seconds) <= 8.64e12)) return 'no time';
  const minutes = Math.round((seconds * 1000 - nowMs) / 60_000);
  const distance =
    Math.abs(minutes) < 120 ? `${Math.abs(minutes)} min` : `${Math.round(Math.abs(minutes) / 60)} h`;
  return `${new Date(seconds * 1000).toISOString()}, ${minutes < 0 ? `${distance} ago` : `in ${distance}`}`;
};

type Meaning = (value: unknown, nowMs: number, claims: Claims) => string;

/** What the claims of Entra's access tokens say ("Access token claims reference", identity platform). */
const meanings: Readonly<Record<string, Meaning>> = {
  aud: () =>
    'the API that the token is for: in v2 tokens its client id, in v1 tokens what the caller asked for',
  iss: () => 'who issued it: authority, tenant and version',
  iat: (value, nowMs) => `issued ${ago(value, nowMs)}; Entra dates it back by five minutes`,
  nbf: (value, nowMs) => `valid from ${ago(value, nowMs)}`,
  exp: (value, nowMs) => `ends ${ago(value, nowMs)}`,
  azp: () => 'client id of the application that calls',
  appid: () => 'client id of the application that calls',
  azpacr: (value) => `how the application proved itself: ${credentials[String(value)] ?? 'unknown'}`,
  appidacr: (value) => `how the application proved itself: ${credentials[String(value)] ?? 'unknown'}`,
  idtyp: (value) => (value === 'app' ? 'app-only: no user is involved' : 'not app-only'),
  oid: () => "object id of the caller's service principal, in this tenant",
  sub: (value, _, { oid }) =>
    value === oid ? 'the caller itself: equal to oid, so app-only' : 'for whom the token speaks',
  tid: () => 'the tenant',
  roles: () => 'app roles that the caller was granted on the API, when the token was issued',
  scp: () => 'delegated permissions: the token acts for a user',
  uti: () => 'name of this token, safe to log and to give to Microsoft',
  ver: (value) =>
    value === '2.0'
      ? 'format 2, as the API asks for'
      : 'format 1: the API has no requestedAccessTokenVersion 2',
  wids: () => 'directory roles of the caller',
  idp: () => 'who authenticated the caller',
  nonce: () => 'only id tokens have one',
  aio: () => "Entra's own",
  rh: () => "Entra's own",
};

/** A claim in words; those that are Entra's own are called so. */
export const meaningOf = (name: string, claims: Claims, nowMs: number): string => {
  if (Object.hasOwn(meanings, name)) return meanings[name]?.(claims[name], nowMs, claims) ?? '';
  return name.startsWith('xms_') ? "Entra's own" : 'no claim of an app-only token';
};
