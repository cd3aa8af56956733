import { InvalidAuthorizationError, MissingTokenError } from './errors.ts';

/** What a request brings that could be a credential. */
export interface RequestCredentials {
  /** Every value of every Authorization header. */
  authorization: readonly string[];
  /** Query string without its question mark. */
  query: string;
}

const scheme = 'bearer';

/** What follows the scheme, undefined if the scheme is another one. By hand: it is done for every request. */
const afterScheme = (value: string): string | undefined => {
  if (value.slice(0, scheme.length).toLowerCase() !== scheme) return undefined;
  const next = value[scheme.length];
  return next === undefined || next === ' ' || next === '\t' ? value.slice(scheme.length).trim() : undefined;
};

/**
 * The bearer token of a request (RFC 6750 §2.1). Tokens in the query or a form are not taken (RFC 9700 §4.3.2).
 *
 * @throws {@link MissingTokenError} without a Bearer credential; another scheme is none (RFC 6750 §3.1)
 * @throws {@link InvalidAuthorizationError} for two headers, two tokens, two methods, or a scheme without its token
 */
export const bearerToken = ({ authorization, query }: RequestCredentials): string => {
  if (authorization.length > 1) throw new InvalidAuthorizationError('more than one Authorization header');
  const token = afterScheme(authorization[0] ?? '');
  if (token === undefined) throw new MissingTokenError();
  if (token === '') throw new InvalidAuthorizationError('scheme Bearer without a token');
  if (token.includes(' ') || token.includes('\t')) {
    throw new InvalidAuthorizationError('more than one token in the Authorization header');
  }
  if (query !== '' && /(?:^|&)access_token=/.test(query)) {
    throw new InvalidAuthorizationError('a token in the header and one in the query');
  }
  return token;
};
