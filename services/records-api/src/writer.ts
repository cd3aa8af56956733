import type { ServiceState } from '@countersign/service-kit';
import type { AuthState } from '@countersign/shared-auth';
import type { ParameterizedContext } from 'koa';
import { invalidParameter } from './invalid-request.ts';
import type { IdempotencyKey, Writer } from './record-store.ts';

export type RecordsState = ServiceState & AuthState;

/** Who asks for a write, from the verified token alone. */
export const writerOf = ({ state }: ParameterizedContext<RecordsState>): Writer => ({
  applicationId: state.principal.applicationId,
  objectId: state.principal.objectId,
  tenantId: state.principal.tenantId,
  tokenId: state.principal.tokenId,
  requestId: state.requestContext.requestId,
});

/** @throws ProblemError (400) for a key that is none */
export const idempotencyKeyOf = (
  ctx: ParameterizedContext,
  fingerprint: () => string,
): IdempotencyKey | undefined => {
  const key = ctx.get('Idempotency-Key');
  if (key === '') return undefined;
  if (!/^[\x21-\x7e]{1,255}$/.test(key)) {
    throw invalidParameter('Idempotency-Key', 'must be 1 to 255 visible ASCII characters');
  }
  return { key, fingerprint };
};
