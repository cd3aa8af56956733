import { InvalidAuthorizationError, MissingTokenError } from './errors.ts';

/** What a request brings that could be a credential. */
export interface RequestCredentials {
  /** Every value of every Authorization header. */
  authorization: readonly string[];
  /** Query string without its question mark. */
  query: string;
}

const bearerPattern = /^bearer(?:$|[ \t]+(?<token>.*)$)/i;

/**
 * The bearer token of a request (RFC 6750 §2.1). Tokens in the query or a form are not taken (RFC 9700 §4.3.2).
 *
 * @throws {@link MissingTokenError} without a Bearer credential; another scheme is none (RFC 6750 §3.1)
 * @throws {@link InvalidAuthorizationError} for two headers, two tokens, two methods, or a scheme without its token
 */
export const bearerToken = ({ authorization, query }: RequestCredentials): string => {
  if (authorization.length > 1) throw new InvalidAuthorizationError('more than one Authorization header');
  const match = bearerPattern.exec(authorization[0] ?? '');
  if (match === null) throw new MissingTokenError();
  const token = match.groups?.['token']?.trim() ?? '';
  if (token === '') throw new InvalidAuthorizationError('scheme Bearer without a token');
  if (/\s/.test(token))
    throw new InvalidAuthorizationError('more than one token in the Authorization header');
  if (/(?:^|&)access_token=/.test(query)) {
    throw new InvalidAuthorizationError('a token in the header and one in the query');
  }
  return token;
};
