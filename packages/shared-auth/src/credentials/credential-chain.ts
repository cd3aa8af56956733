import { TokenAcquisitionError } from '../errors.ts';
import { isOver } from '../pause.ts';
import { CredentialError, type CredentialSource } from './credential-source.ts';

/**
 * Refusals that are about the credential, so that another one may do (as Microsoft.Identity.Web has them): a wrong,
 * expired or revoked certificate or assertion. A wrong secret (7000215) or an unknown application (700016) is not
 * among them: trying on would only lock out or hide the mistake.
 */
const failoverCodes = new Set([700024, 700027, 1000502, 7000214, 7000274, 7000277]);

/** A credential that Entra refused is not tried for this long, unless the others do no better. */
const refusedSkipMs = 5 * 60_000;
/** One that cannot be read here and now may be there in a moment. */
const unusableSkipMs = 1000;

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

const skipMsOf = (error: unknown): number =>
  error instanceof CredentialError ? (error.retryAfterSeconds ?? 0) * 1000 || unusableSkipMs : refusedSkipMs;

export const createCredentialChain = (
  sources: readonly CredentialSource[],
  clock: () => number,
): CredentialChain => {
  if (sources.length === 0) throw new TypeError('give at least one credential');
  const skips = new Map<CredentialSource, { atMs: number; lengthMs: number }>();
  const isSkipped = (source: CredentialSource): boolean => {
    const skip = skips.get(source);
    return skip !== undefined && !isOver(skip.atMs, skip.lengthMs, clock());
  };
  return {
    async run(attempt) {
      const { usable = [], skipped = [] } = Object.groupBy(sources, (source) =>
        isSkipped(source) ? 'skipped' : 'usable',
      );
      let refusal: TokenAcquisitionError | undefined;
      let lastError: unknown;
      for (const group of [usable, skipped]) {
        for (const source of group) {
          try {
            const result = await attempt(source);
            skips.delete(source);
            return result;
          } catch (error) {
            lastError = error;
            if (isAtFault(error)) skips.set(source, { atMs: clock(), lengthMs: skipMsOf(error) });
            else if (error instanceof TokenAcquisitionError) {
              // Not one to try others for, except those that were left out: they may be good again.
              refusal ??= error;
              break;
            } else throw error;
          }
        }
      }
      throw refusal ?? lastError;
    },
  };
};
