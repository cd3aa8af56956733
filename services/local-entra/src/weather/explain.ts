import type { StsErrorCause } from '../sts-errors/error-table.ts';

export interface ExplainInput {
  client?: string | undefined;
  resource?: string | undefined;
  roles?: readonly string[] | undefined;
  /** Key in the table of errors. */
  reason?: string | undefined;
  detail?: string | undefined;
}

/** Why the token endpoint refused, in words that need no manual. */
const reasons: Readonly<Record<StsErrorCause, string>> = {
  missingCredential: 'the request holds no secret and no assertion',
  wrongSecret: 'the secret is not one of this application (its value is needed, not its id)',
  expiredSecret: 'the secret has expired',
  unsupportedAssertionType: 'client_assertion_type is not the one for JWTs',
  malformedAssertion: 'the assertion is not a JWT that can be used',
  assertionKeyNotFound:
    'no certificate with the thumbprint in the assertion is registered on the application',
  assertionKeyExpired: 'the certificate that signed the assertion has expired, or is not in force yet',
  assertionBadSignature: 'the signature of the assertion is wrong',
  assertionNotInForce: 'the assertion has expired or is not in force yet (or the clocks disagree)',
  assertionOfAnotherClient: 'issuer or subject of the assertion is another client than client_id',
  assertionAudience: 'the audience of the assertion is not the token endpoint of this tenant',
  noFederatedCredential: 'the application has no federated credential',
  federatedIssuer: 'no federated credential of the application has the issuer of the token, to the letter',
  federatedAudience:
    'no federated credential of the application has the audience of the token, to the letter',
  federatedSubject: 'no federated credential of the application has the subject of the token, to the letter',
  federatedKeyNotFound: 'the issuer of the token publishes no key with its kid',
  issuerUnavailable: 'the keys of the issuer could not be fetched',
  unknownApplication: 'no application with this client id is in this tenant',
  invalidApplicationIdentifier: 'the client id is all zeros',
  disabledApplication: 'the application is switched off in this tenant',
  unknownTenant: 'there is no such tenant',
  unknownTenantInDiscovery: 'there is no such tenant',
  malformedTenant: 'the tenant in the address is neither a GUID nor a domain',
  tenantAlias: 'the address names no tenant, and an application needs one',
  missingParameter: 'a parameter is missing',
  duplicateParameter: 'a parameter is there twice',
  wrongMethod: 'the token endpoint takes POST only',
  unsupportedGrantType: 'only client_credentials is supported',
  resourceParameterInV2: 'the version 2 endpoint takes scope, not resource',
  scopeWithoutDefault: 'the scope has to be the App ID URI followed by /.default',
  malformedScope: 'the scope is malformed',
  severalResources: 'the scope names more than one API',
  unknownResource: 'no API with this App ID URI or client id is in the tenant',
  disabledResource: 'the API is switched off in this tenant',
  transient: 'a fault was asked for on the admin port',
  tenantThrottled: 'a fault was asked for on the admin port',
  notAssigned: 'the API requires assignment, and no role is granted to the caller',
  unknownAuthority: 'the authority is not this one',
  unsupportedApiVersion: 'the api-version is not one of 1.0 and 1.1',
};

const isReason = (reason: string): reason is StsErrorCause => Object.hasOwn(reasons, reason);

/** One sentence on what became of a request; undefined where there is nothing to explain. */
export const explain = ({ client, resource, roles, reason, detail }: ExplainInput): string | undefined => {
  const who = client ?? 'somebody';
  const what = resource === undefined ? 'a token' : resource;
  if (reason !== undefined) {
    const cause = isReason(reason) ? reasons[reason] : reason;
    return `${who} asked for ${what}: refused, because ${cause}${detail === undefined ? '' : ` (${detail})`}.`;
  }
  if (roles?.length === 0) {
    return `${who} asked for ${what}: token issued without roles, because ${detail ?? 'no assignment exists'}.`;
  }
  return detail === undefined ? undefined : `${who}: ${detail}`;
};
