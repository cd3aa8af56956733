import { verify } from 'node:crypto';
import type { Application } from '../directory/entities.ts';
import { StsError } from '../sts-errors/sts-error.ts';
import { checkAssertionTimes, textOf, type ClientAssertion } from './client-assertion.ts';
import { IssuerUnavailableError, type IssuerKeys } from './issuer-keys.ts';

/** Another issuer's tokens name it by a URL; a client that signs for itself gives its client id. */
export const isFederated = ({ claims }: ClientAssertion): boolean =>
  /^https?:\/\//i.test(textOf(claims['iss']));

/** Issuer, subject and audience must be those of one credential, to the letter. */
const requireCredential = ({ claims }: ClientAssertion, application: Application, nowMs: number): string => {
  const iss = textOf(claims['iss']);
  const sub = textOf(claims['sub']);
  const audiences = [claims['aud']].flat().map(textOf);
  const { appId } = application;
  const visible = application.federatedIdentityCredentials.filter(
    ({ visibleFromMs }) => visibleFromMs <= nowMs,
  );
  if (application.federatedIdentityCredentials.length === 0) {
    throw new StsError('noFederatedCredential', { appId });
  }
  const isPending = application.federatedIdentityCredentials.some(
    (credential) => !visible.includes(credential) && credential.issuer === iss && credential.subject === sub,
  );
  const notKnownYet = isPending ? 'there is one, and the token endpoint has not heard of it yet' : undefined;
  const ofIssuer = visible.filter(({ issuer }) => issuer === iss);
  if (ofIssuer.length === 0) throw new StsError('federatedIssuer', { issuer: iss }, notKnownYet);
  const ofSubject = ofIssuer.filter(({ subject }) => subject === sub);
  if (ofSubject.length === 0) throw new StsError('federatedSubject', { subject: sub }, notKnownYet);
  if (
    !ofSubject.some((credential) => credential.audiences.some((audience) => audiences.includes(audience)))
  ) {
    throw new StsError('federatedAudience', { audience: audiences.join(',') }, notKnownYet);
  }
  return iss;
};

/**
 * Checks a token of another issuer against an application's federated credentials, and then its signature against
 * that issuer's keys. Only RS256, as in Entra.
 *
 * @throws {StsError} for each way in which it can be wrong.
 */
export const checkFederatedAssertion = async (
  assertion: ClientAssertion,
  application: Application,
  issuerKeys: IssuerKeys,
  nowMs: number,
): Promise<void> => {
  const { header, signingInput, signature } = assertion;
  const issuer = requireCredential(assertion, application, nowMs);
  if (header['alg'] !== 'RS256') {
    throw new StsError('malformedAssertion', {}, 'the algorithm is not taken');
  }
  const kid = textOf(header['kid']);
  const key = await issuerKeys.find(issuer, kid).catch((error: unknown) => {
    if (!(error instanceof IssuerUnavailableError)) throw error;
    throw new StsError('issuerUnavailable', { issuer }, error.message);
  });
  if (!key) throw new StsError('federatedKeyNotFound', { kid, issuer });
  if (!verify('sha256', signingInput, key, signature)) throw new StsError('assertionBadSignature');
  checkAssertionTimes(assertion, nowMs);
};
