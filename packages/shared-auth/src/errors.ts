/** The check of a token that failed. For the log: a client is told only that the token is not valid. */
export type TokenCheck =
  | 'size'
  | 'structure'
  | 'encoding'
  | 'json'
  | 'duplicate_key'
  | 'algorithm'
  | 'type'
  | 'critical'
  | 'key_id'
  | 'signature'
  | 'key_issuer'
  | 'lifetime'
  | 'expired'
  | 'not_before'
  | 'issued_at'
  | 'version'
  | 'tenant'
  | 'issuer'
  | 'audience'
  | 'application'
  | 'object'
  | 'app_only'
  | 'roles'
  | 'token_id';

export interface AuthErrorOptions extends ErrorOptions {
  /** What the log is told and the client is not. */
  logFields?: Readonly<Record<string, unknown>>;
}

/**
 * An error that knows its HTTP answer, in the terms of Koa's error contract (`status`, `code`, `expose`, `headers`).
 * Messages are fixed sentences that are safe to show; what was found in a token goes into `logFields` alone.
 */
export abstract class AuthError extends Error {
  abstract readonly status: number;
  /** `code` of the problem document. */
  abstract readonly code: string;
  readonly expose = true;
  /** Headers of the answer: `WWW-Authenticate` (RFC 6750 §3) or `Retry-After`. */
  readonly headers: Readonly<Record<string, string>>;
  /** Further members of the problem document (RFC 9457 §3.2). */
  readonly members: Readonly<Record<string, unknown>>;
  readonly logFields: Readonly<Record<string, unknown>>;

  protected constructor(
    message: string,
    answer: {
      headers?: Readonly<Record<string, string>>;
      members?: Readonly<Record<string, unknown>>;
    } & AuthErrorOptions,
  ) {
    super(message, 'cause' in answer ? { cause: answer.cause } : undefined);
    this.headers = answer.headers ?? {};
    this.members = answer.members ?? {};
    this.logFields = answer.logFields ?? {};
  }
}

/** 401, no credentials. The challenge has no `error`, since nothing was attempted (RFC 6750 §3.1, last paragraph). */
export class MissingTokenError extends AuthError {
  override readonly name = 'MissingTokenError';
  readonly status = 401;
  readonly code = 'missing_token';

  constructor() {
    super('This resource needs an access token: send it as "Authorization: Bearer <token>".', {
      headers: { 'WWW-Authenticate': 'Bearer' },
    });
  }
}

/** 400, more than one token or an Authorization header that cannot be read (RFC 6750 §3.1 `invalid_request`). */
export class InvalidAuthorizationError extends AuthError {
  override readonly name = 'InvalidAuthorizationError';
  readonly status = 400;
  readonly code = 'invalid_request';

  constructor(reason: string) {
    const message = 'Send exactly one access token, as "Authorization: Bearer <token>".';
    super(message, {
      headers: {
        'WWW-Authenticate': `Bearer error="invalid_request", error_description="${message.replaceAll('"', "'")}"`,
      },
      logFields: { reason },
    });
  }
}

/** 401, a token that is expired, forged, malformed or meant for somebody else (RFC 6750 §3.1 `invalid_token`). */
export class InvalidTokenError extends AuthError {
  override readonly name = 'InvalidTokenError';
  readonly status = 401;
  readonly code = 'invalid_token';
  readonly check: TokenCheck;

  /**
   * @param check - what failed
   * @param options - `logFields`: `kid`, `iss`, `aud` and `ver` as found, bounded in length by the caller
   */
  constructor(check: TokenCheck, options: AuthErrorOptions = {}) {
    const message = 'The access token is not valid for this resource, or is no longer valid.';
    super(message, {
      ...options,
      headers: { 'WWW-Authenticate': `Bearer error="invalid_token", error_description="${message}"` },
      logFields: { check, ...options.logFields },
    });
    this.check = check;
  }
}

/** 403, a valid token of an application that was not given the app role (RFC 6750 §3.1 `insufficient_scope`). */
export class InsufficientRoleError extends AuthError {
  override readonly name = 'InsufficientRoleError';
  readonly status = 403;
  readonly code = 'insufficient_role';
  readonly requiredRoles: readonly string[];

  constructor(requiredRoles: readonly string[], options: AuthErrorOptions = {}) {
    super('The calling application has not been granted the app role that this resource requires.', {
      ...options,
      headers: {
        'WWW-Authenticate': `Bearer error="insufficient_scope", scope="${requiredRoles.join(' ')}"`,
      },
      members: { requiredRoles },
    });
    this.requiredRoles = requiredRoles;
  }
}

/** 403, a valid token of an application that the resource does not take, whatever its roles. */
export class CallerNotAllowedError extends AuthError {
  override readonly name = 'CallerNotAllowedError';
  readonly status = 403;
  readonly code = 'caller_not_allowed';

  /** @param reason - for the log */
  constructor(reason: string, options: AuthErrorOptions = {}) {
    super('The calling application is not allowed to use this resource.', {
      ...options,
      headers: { 'WWW-Authenticate': 'Bearer error="insufficient_scope"' },
      logFields: { reason, ...options.logFields },
    });
  }
}

export interface ClaimsChallenge {
  /** JSON of an OpenID Connect claims request, such as `{"access_token":{"acrs":{"essential":true,"value":"c1"}}}`. */
  claims: string;
  /** Where the caller gets another token: the authority's authorization endpoint. */
  authorizationUri: string;
}

/** 401, a valid token that lacks claims which Entra can add when asked ("Claims challenges", identity platform). */
export class InsufficientClaimsError extends AuthError {
  override readonly name = 'InsufficientClaimsError';
  readonly status = 401;
  readonly code = 'insufficient_claims';

  constructor({ claims, authorizationUri }: ClaimsChallenge, options: AuthErrorOptions = {}) {
    const encoded = Buffer.from(claims).toString('base64');
    super('The access token lacks claims that this resource requires.', {
      ...options,
      headers: {
        'WWW-Authenticate':
          `Bearer realm="", authorization_uri="${authorizationUri}", ` +
          `error="insufficient_claims", claims="${encoded}"`,
      },
    });
  }
}

export interface IdentityUnavailableErrorOptions extends AuthErrorOptions {
  /** `Retry-After` of the answer, in whole seconds. */
  retryAfterSeconds: number;
}

/** 503, keys or tokens cannot be had now. It says nothing about the caller's token, so it is never a 401. */
export class IdentityUnavailableError extends AuthError {
  override readonly name = 'IdentityUnavailableError';
  readonly status = 503;
  readonly code = 'identity_unavailable';
  readonly retryAfterSeconds: number;

  constructor({ retryAfterSeconds, ...options }: IdentityUnavailableErrorOptions) {
    super('The identity provider cannot be reached at the moment. Try again later.', {
      ...options,
      headers: { 'Retry-After': String(retryAfterSeconds) },
    });
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

export interface TokenRefusal {
  /** OAuth `error` of the answer, such as `invalid_client`. */
  error: string;
  /** AADSTS number, such as 7000215. For the log: Microsoft warns against branching on it. */
  aadsts: number | undefined;
  correlationId: string | undefined;
  /** What went wrong and what to do, in a sentence. */
  explanation: string;
}

/** 503, Entra refuses this service its own token: an operator has to act, the caller cannot. */
export class TokenAcquisitionError extends AuthError {
  override readonly name = 'TokenAcquisitionError';
  readonly status = 503;
  readonly code = 'identity_unavailable';
  readonly refusal: TokenRefusal;

  constructor(refusal: TokenRefusal, options: AuthErrorOptions = {}) {
    super('This service could not get a token for the API that it calls.', {
      ...options,
      logFields: { ...refusal, ...options.logFields },
    });
    this.refusal = refusal;
  }
}
