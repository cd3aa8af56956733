import { AuthError as MsalAuthError, ServerError } from '@azure/msal-node';
import { explainAadsts } from './aadsts.ts';
import { isGuid } from './claims.ts';
import { CredentialError } from './credentials/credential-source.ts';
import { AuthError, IdentityUnavailableError, TokenAcquisitionError } from './errors.ts';
import { spreadRetryAfter } from './retry-after.ts';

/** MSAL has the number as a property in most errors, and in the description in all. */
const aadstsOf = ({ errorNo, errorMessage }: { errorNo?: string | undefined; errorMessage: string }) => {
  const number = Number(errorNo ?? /AADSTS(\d{4,9})/.exec(errorMessage)?.[1]);
  return Number.isInteger(number) && number > 0 ? number : undefined;
};

/** What the other side wrote, as far as it is one of the protocol's words: the rest is not for a log line. */
const isOAuthCode = (value: unknown): boolean => typeof value === 'string' && /^[a-z_]{1,64}$/.test(value);

/** Which token was asked for, by whom and how: an operator has to know whose credential to look at. */
export interface AcquisitionContext {
  clientId: string;
  scope: string;
  credential: string;
}

/**
 * What went wrong in MSAL, as an error that knows its answer. MSAL's own error is not kept as a cause: its messages
 * quote the other side, and credentials hang on its request.
 */
export const fromMsalError = (error: unknown, context: AcquisitionContext): unknown => {
  if (error instanceof AuthError || error instanceof CredentialError) return error;
  if (!(error instanceof MsalAuthError)) return error;
  const aadsts = aadstsOf(error);
  if (error instanceof ServerError || aadsts !== undefined) {
    return new TokenAcquisitionError(
      {
        error: isOAuthCode(error.errorCode) ? error.errorCode : 'unknown_error',
        aadsts,
        correlationId: isGuid(error.correlationId) ? error.correlationId : undefined,
        explanation: explainAadsts(aadsts, error.errorCode),
      },
      { logFields: { ...context } },
    );
  }
  return new IdentityUnavailableError({
    retryAfterSeconds: spreadRetryAfter(),
    logFields: { msal: error.errorCode, ...context },
  });
};
