import type { AuthenticationResult } from '@azure/msal-node';

/** What identifies the application in one token request. */
export type ClientAuth =
  | { readonly kind: 'secret'; readonly secret: string }
  /** A JWT made for this token endpoint (RFC 7523 §2.2). */
  | { readonly kind: 'assertion'; readonly assertion: (tokenEndpoint: string) => Promise<string> }
  /** The platform hands out tokens itself. */
  | { readonly kind: 'platform'; readonly acquire: (scope: string) => Promise<AuthenticationResult> };

/** One way for an application to prove who it is. */
export interface CredentialSource {
  /** For the log: the kind, never the content. */
  readonly name: string;
  /** Looked at for every token request, so that a rotated file is taken up at once. @throws {@link CredentialError} */
  read(): Promise<ClientAuth>;
}

export interface CredentialErrorOptions extends ErrorOptions {
  isTransient?: boolean;
  retryAfterSeconds?: number | undefined;
}

/** A credential that cannot be used here and now; the next one is tried. */
export class CredentialError extends Error {
  override readonly name = 'CredentialError';
  /** Which credential. */
  readonly credential: string;
  /** Whether it may work again by itself. */
  readonly isTransient: boolean;
  /** How long the other side asked to be left alone, if it did. */
  readonly retryAfterSeconds: number | undefined;

  constructor(
    credential: string,
    message: string,
    { isTransient = false, retryAfterSeconds, ...options }: CredentialErrorOptions = {},
  ) {
    super(message, options);
    this.credential = credential;
    this.isTransient = isTransient;
    this.retryAfterSeconds = retryAfterSeconds;
  }
}
