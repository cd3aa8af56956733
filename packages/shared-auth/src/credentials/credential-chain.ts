import { TokenAcquisitionError } from '../errors.ts';
import { CredentialError, type CredentialSource } from './credential-source.ts';

/**
 * Refusals that are about the credential, so that another one may do (as Microsoft.Identity.Web has them): a wrong,
 * expired or revoked certificate or assertion. A wrong secret (7000215) or an unknown application (700016) is not
 * among them: trying on would only lock out or hide the mistake.
 */
const failoverCodes = new Set([700024, 700027, 1000502, 7000214, 7000274, 7000277]);

/** A credential that failed is not tried for this long, unless all have. */
const skipMs = 5 * 60_000;

/** Credentials in order of preference. */
export interface CredentialChain {
  /** Runs `attempt` with one credential after the other until one is not at fault. */
  run<T>(attempt: (source: CredentialSource) => Promise<T>): Promise<T>;
}

const isAtFault = (error: unknown): boolean =>
  error instanceof CredentialError ||
  (error instanceof TokenAcquisitionError &&
    error.refusal.aadsts !== undefined &&
    failoverCodes.has(error.refusal.aadsts));

export const createCredentialChain = (
  sources: readonly CredentialSource[],
  clock: () => number,
): CredentialChain => {
  if (sources.length === 0) throw new TypeError('give at least one credential');
  const skippedUntilMs = new Map<CredentialSource, number>();
  return {
    async run(attempt) {
      const usable = sources.filter((source) => clock() >= (skippedUntilMs.get(source) ?? 0));
      let lastError: unknown;
      for (const source of usable.length > 0 ? usable : sources) {
        try {
          const result = await attempt(source);
          skippedUntilMs.delete(source);
          return result;
        } catch (error) {
          if (!isAtFault(error)) throw error;
          skippedUntilMs.set(source, clock() + skipMs);
          lastError = error;
        }
      }
      throw lastError;
    },
  };
};
