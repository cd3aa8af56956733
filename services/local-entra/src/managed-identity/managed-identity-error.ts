import type { Middleware } from 'koa';
import { StsError } from '../sts-errors/sts-error.ts';
import type { TokenState } from '../token/token-state.ts';

/** A refusal of a managed identity endpoint. */
export class ManagedIdentityError extends Error {
  override readonly name = 'ManagedIdentityError';
  readonly code: string;
  readonly status: number;

  constructor(code: string, description: string, status = 400) {
    super(description);
    this.code = code;
    this.status = status;
  }
}

const describe = (
  error: unknown,
  status = 400,
): { status: number; code: string; message: string } | undefined => {
  if (error instanceof ManagedIdentityError) return error;
  if (!(error instanceof StsError)) return undefined;
  return { status, code: error.row.error, message: `AADSTS${error.row.number}: ${error.message}` };
};

/**
 * Renders refusals as IMDS (`error`, `error_description`) or App Service (`statusCode`, `message`) does.
 *
 * @param stsStatus HTTP status for what the token service refuses; 400 unless told.
 */
export const renderManagedIdentityErrors = (
  flavour: 'app-service' | 'imds',
  stsStatus?: number,
): Middleware<TokenState> =>
  async function renderManagedIdentityErrors(ctx, next) {
    ctx.set('Cache-Control', 'no-store');
    try {
      await next();
    } catch (error) {
      const described = describe(error, stsStatus);
      if (!described) throw error;
      const { status, code, message } = described;
      Object.assign(ctx.state.logFields, {
        'error.type': code,
        detail: message,
        ...(error instanceof StsError && { aadsts: error.row.number, reason: error.reason }),
      });
      ctx.status = status;
      ctx.body =
        flavour === 'imds' ? { error: code, error_description: message } : { statusCode: status, message };
    }
  };
