import type { StsErrorCause } from '../../src/sts-errors/error-table.ts';

/** AADSTS number, HTTP status, `error`, and a piece of the text. */
type Expectation = readonly [number: number, status: number, error: string, text: string];

/**
 * What each refusal has to say, written down from captures and documentation of Entra, and not taken from the table
 * that the server renders. Rows that nobody has captured say what was decided here.
 */
export const expectations: Readonly<Record<StsErrorCause, Expectation>> = {
  missingCredential: [
    7000216,
    401,
    'invalid_client',
    "'client_assertion', 'client_secret' or 'request' is required for the 'client_credentials' grant type.",
  ],
  wrongSecret: [
    7000215,
    401,
    'invalid_client',
    "Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app 'ffff0000-0000-4000-8000-000000000002'.",
  ],
  expiredSecret: [
    7000222,
    401,
    'invalid_client',
    "The provided client secret keys for app 'ffff0000-0000-4000-8000-000000000002' are expired. Visit the Azure portal to create new keys for your app: https://aka.ms/NewClientSecret",
  ],
  unsupportedAssertionType: [900147, 400, 'invalid_request', "'client_assertion_type'"],
  malformedAssertion: [50027, 401, 'invalid_client', 'JWT token is invalid or malformed.'],
  assertionKeyNotFound: [
    700027,
    401,
    'invalid_client',
    'The certificate with identifier used to sign the client assertion is not registered on application. [Reason - The key was not found.]',
  ],
  assertionKeyExpired: [
    700027,
    401,
    'invalid_client',
    'The certificate used to sign the client assertion is expired.',
  ],
  assertionBadSignature: [700027, 401, 'invalid_client', 'Client assertion contains an invalid signature.'],
  assertionNotInForce: [
    700024,
    401,
    'invalid_client',
    'Client assertion is not within its valid time range. Current time: ',
  ],
  assertionOfAnotherClient: [
    700021,
    401,
    'invalid_client',
    "Client assertion application identifier doesn't match 'client_id' parameter.",
  ],
  assertionAudience: [700023, 401, 'invalid_client', 'audience'],
  noFederatedCredential: [70025, 401, 'invalid_client', 'no configured federated identity credentials'],
  federatedIssuer: [
    700211,
    401,
    'invalid_client',
    "No matching federated identity record found for presented assertion issuer '",
  ],
  federatedAudience: [
    700212,
    401,
    'invalid_client',
    "No matching federated identity record found for presented assertion audience 'other'.",
  ],
  federatedSubject: [
    700213,
    401,
    'invalid_client',
    "No matching federated identity record found for presented assertion subject 'other'.",
  ],
  federatedKeyNotFound: [700027, 401, 'invalid_client', 'The key was not found.'],
  issuerUnavailable: [501661, 400, 'invalid_request', "'http://127.0.0.1:1'"],
  unknownApplication: [
    700016,
    400,
    'unauthorized_client',
    "Application with identifier 'deadbeef-0000-4000-8000-00000000dead' was not found in the directory 'Conformance'.",
  ],
  invalidApplicationIdentifier: [
    700038,
    400,
    'unauthorized_client',
    '00000000-0000-0000-0000-000000000000 is not a valid application identifier.',
  ],
  disabledApplication: [
    7000112,
    401,
    'unauthorized_client',
    "Application 'ffff0000-0000-4000-8000-000000000004'(disabled) is disabled.",
  ],
  unknownTenant: [
    90002,
    400,
    'invalid_request',
    "Tenant 'deadbeef-0000-4000-8000-00000000dead' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud.",
  ],
  unknownTenantInDiscovery: [
    90002,
    400,
    'invalid_tenant',
    "Tenant 'deadbeef-0000-4000-8000-00000000dead' not found.",
  ],
  malformedTenant: [
    900023,
    400,
    'invalid_request',
    "Specified tenant identifier 'not-a-tenant' is neither a valid DNS name, nor a valid external domain.",
  ],
  tenantAlias: [9001023, 400, 'invalid_request', '/common or /consumers'],
  missingParameter: [
    900144,
    400,
    'invalid_request',
    "The request body must contain the following parameter: 'scope'.",
  ],
  duplicateParameter: [9000411, 400, 'invalid_request', "'scope' is duplicated"],
  wrongMethod: [900561, 405, 'invalid_request', 'only accepts POST requests. Received a GET request.'],
  unsupportedGrantType: [
    70003,
    400,
    'unsupported_grant_type',
    "The app requested an unsupported grant type 'urn:example:grant'.",
  ],
  resourceParameterInV2: [901002, 400, 'invalid_request', "'resource'"],
  scopeWithoutDefault: [
    1002012,
    400,
    'invalid_scope',
    'is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier (application ID URI).',
  ],
  malformedScope: [
    70011,
    400,
    'invalid_scope',
    "The provided value for the input parameter 'scope' is not valid. The scope ",
  ],
  severalResources: [700022, 400, 'invalid_scope', 'more than one resource'],
  unknownResource: [
    500011,
    400,
    'invalid_resource',
    'The resource principal named api://nothing-here was not found in the tenant named Conformance. This can happen if the application has not been installed',
  ],
  disabledResource: [500014, 400, 'invalid_resource', "'api://disabled' is disabled."],
  transient: [90033, 503, 'temporarily_unavailable', 'transient'],
  tenantThrottled: [90055, 429, 'temporarily_unavailable', 'throttled'],
  notAssigned: [
    501051,
    400,
    'invalid_grant',
    "Application 'ffff0000-0000-4000-8000-000000000002'(client) is not assigned to a role for the application 'api://closed'(closed).",
  ],
  unknownAuthority: [50049, 400, 'invalid_instance', 'instance'],
  unsupportedApiVersion: [500501, 400, 'invalid_request', '9.9'],
};
