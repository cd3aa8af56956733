/** With continuous access evaluation Entra's tokens live for up to 28 hours; what lives for longer is a mistake. */
const maxLifeMs = 29 * 3_600_000;

/** Whether a text can go into an Authorization header as it is (RFC 6750 §2.1, and generously beyond). */
export const isAccessToken = (value: unknown): value is string =>
  typeof value === 'string' && /^[\x21-\x7e]+$/.test(value);

/** Whether a token may live for this long. Not so NaN, which would never end. */
export const isTokenLife = (ms: number): boolean => ms > 0 && ms <= maxLifeMs;

/** Whether this is an answer of a token endpoint: a token (RFC 6749 §5.1) or a refusal (§5.2). */
export const isTokenAnswer = (status: number, body: unknown): boolean => {
  if (typeof body !== 'object' || body === null) return false;
  const { access_token: token, expires_in: expiresIn, error } = body as Record<string, unknown>;
  if (status === 200) return isAccessToken(token) && isTokenLife(Number(expiresIn) * 1000);
  return status >= 400 && status < 500 && typeof error === 'string';
};
