/** How sure a row is: recorded from Entra, written in its documentation, or our best guess. */
export type Evidence = 'recorded' | 'documented' | 'unverified';

export interface StsErrorRow {
  /** AADSTS number. */
  number: number;
  /** HTTP status. */
  status: number;
  /** OAuth error code. */
  error: string;
  /** `{name}` stands for a value that the refusal knows. */
  text: string;
  /** Whether Entra's error page knows the number: the answer has an `error_uri` then. */
  errorPage: boolean;
  evidence: Evidence;
}

/** Every refusal of the token endpoint and of discovery, by its cause. Entra may change numbers and texts. */
export const errorTable = {
  missingCredential: {
    number: 7000216,
    status: 401,
    error: 'invalid_client',
    text: "'client_assertion', 'client_secret' or 'request' is required for the 'client_credentials' grant type.",
    errorPage: true,
    evidence: 'recorded',
  },
  wrongSecret: {
    number: 7000215,
    status: 401,
    error: 'invalid_client',
    text: "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '{appId}'.",
    errorPage: true,
    evidence: 'recorded',
  },
  expiredSecret: {
    number: 7000222,
    status: 401,
    error: 'invalid_client',
    text: "The provided client secret keys for app '{appId}' are expired. Visit the Azure portal to create new keys for your app: https://aka.ms/NewClientSecret, or consider using certificate credentials for added security: https://aka.ms/certCreds.",
    errorPage: true,
    evidence: 'recorded',
  },
  unsupportedAssertionType: {
    number: 900147,
    status: 400,
    error: 'invalid_request',
    text: "The request body contains an unsupported 'client_assertion_type'. Only 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer' is supported.",
    errorPage: false,
    evidence: 'unverified',
  },
  unknownApplication: {
    number: 700016,
    status: 400,
    error: 'unauthorized_client',
    text: "Application with identifier '{appId}' was not found in the directory '{tenantName}'. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. You may have sent your authentication request to the wrong tenant.",
    errorPage: true,
    evidence: 'recorded',
  },
  invalidApplicationIdentifier: {
    number: 700038,
    status: 400,
    error: 'unauthorized_client',
    text: '{appId} is not a valid application identifier.',
    errorPage: false,
    evidence: 'recorded',
  },
  disabledApplication: {
    number: 7000112,
    status: 401,
    error: 'unauthorized_client',
    text: "Application '{appId}'({appName}) is disabled.",
    errorPage: true,
    evidence: 'unverified',
  },
  unknownTenant: {
    number: 90002,
    status: 400,
    error: 'invalid_request',
    text: "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud. Check with your subscription administrator, this may happen if there are no active subscriptions for the tenant.",
    errorPage: true,
    evidence: 'recorded',
  },
  unknownTenantInDiscovery: {
    number: 90002,
    status: 400,
    error: 'invalid_tenant',
    text: "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud. Check with your subscription administrator, this may happen if there are no active subscriptions for the tenant.",
    errorPage: true,
    evidence: 'recorded',
  },
  malformedTenant: {
    number: 900023,
    status: 400,
    error: 'invalid_request',
    text: "Specified tenant identifier '{tenant}' is neither a valid DNS name, nor a valid external domain.",
    errorPage: true,
    evidence: 'documented',
  },
  tenantAlias: {
    number: 9001023,
    status: 400,
    error: 'invalid_request',
    text: 'The grant type is not supported over the /common or /consumers endpoints. Please use the /organizations or tenant-specific endpoint.',
    errorPage: true,
    evidence: 'documented',
  },
  missingParameter: {
    number: 900144,
    status: 400,
    error: 'invalid_request',
    text: "The request body must contain the following parameter: '{parameter}'.",
    errorPage: true,
    evidence: 'documented',
  },
  duplicateParameter: {
    number: 9000411,
    status: 400,
    error: 'invalid_request',
    text: "The request is not properly formatted. The parameter '{parameter}' is duplicated.",
    errorPage: true,
    evidence: 'unverified',
  },
  wrongMethod: {
    number: 900561,
    status: 405,
    error: 'invalid_request',
    text: 'The endpoint only accepts POST requests. Received a {method} request.',
    errorPage: true,
    evidence: 'documented',
  },
  unsupportedGrantType: {
    number: 70003,
    status: 400,
    error: 'unsupported_grant_type',
    text: "The app requested an unsupported grant type '{grantType}'.",
    errorPage: false,
    evidence: 'recorded',
  },
  resourceParameterInV2: {
    number: 901002,
    status: 400,
    error: 'invalid_request',
    text: "The 'resource' request parameter is not supported.",
    errorPage: true,
    evidence: 'documented',
  },
  scopeWithoutDefault: {
    number: 1002012,
    status: 400,
    error: 'invalid_scope',
    text: 'The provided value for scope {scope} is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier (application ID URI).',
    errorPage: true,
    evidence: 'recorded',
  },
  malformedScope: {
    number: 70011,
    status: 400,
    error: 'invalid_scope',
    text: "The provided value for the input parameter 'scope' is not valid. The scope {scope} is not valid.",
    errorPage: true,
    evidence: 'documented',
  },
  severalResources: {
    number: 700022,
    status: 400,
    error: 'invalid_scope',
    text: "The provided value for the input parameter 'scope' is not valid because it contains more than one resource. Scope {scope} is not valid.",
    errorPage: true,
    evidence: 'unverified',
  },
  unknownResource: {
    number: 500011,
    status: 400,
    error: 'invalid_resource',
    text: 'The resource principal named {resource} was not found in the tenant named {tenantName}. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. You might have sent your authentication request to the wrong tenant.',
    errorPage: true,
    evidence: 'recorded',
  },
  notAssigned: {
    number: 501051,
    status: 400,
    error: 'invalid_grant',
    text: "Application '{appId}'({appName}) is not assigned to a role for the application '{resource}'({resourceName}).",
    errorPage: true,
    evidence: 'recorded',
  },
  unknownAuthority: {
    number: 50049,
    status: 400,
    error: 'invalid_instance',
    text: 'Unknown or invalid instance.',
    errorPage: true,
    evidence: 'recorded',
  },
  unsupportedApiVersion: {
    number: 500501,
    status: 400,
    error: 'invalid_request',
    text: 'The api-version {version} is not supported.',
    errorPage: false,
    evidence: 'unverified',
  },
} as const satisfies Record<string, StsErrorRow>;

/** What went wrong, in the words of this code; AADSTS numbers are not unique to a cause. */
export type StsErrorCause = keyof typeof errorTable;
