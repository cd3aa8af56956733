/** One tenant (a directory of Entra). */
export interface Tenant {
  /** GUID, lower-cased. */
  readonly id: string;
  displayName: string;
  /** Verified domains, lower-cased. Each can stand for the id in an address. */
  domains: string[];
}

/** A client secret. Its text is not kept. */
export interface PasswordCredential {
  keyId: string;
  displayName: string | null;
  /** The first three characters of the secret, as Entra shows them. */
  hint: string;
  /** SHA-256 of key id and secret, in base64url. */
  hash: string;
  startMs: number;
  endMs: number;
  /** Until then the token endpoint has not heard of it. */
  visibleFromMs: number;
}

/** A certificate that an application may sign assertions with. */
export interface KeyCredential {
  keyId: string;
  displayName: string | null;
  /** The certificate's DER in base64. */
  key: string;
  /** What Graph was told to show instead of the thumbprint. */
  customKeyIdentifier?: string | undefined;
  /** base64url of the certificate's SHA-1. */
  thumbprint: string;
  /** base64url of the certificate's SHA-256. */
  thumbprintSha256: string;
  startMs: number;
  endMs: number;
  visibleFromMs: number;
}

/** Trust in the tokens that another issuer gives to one subject. */
export interface FederatedIdentityCredential {
  id: string;
  name: string;
  issuer: string;
  subject: string;
  /** Exactly one. */
  audiences: string[];
  description: string | null;
  visibleFromMs: number;
}

/** A permission that an API offers to applications. */
export interface AppRole {
  id: string;
  value: string;
  displayName: string;
  description: string;
  isEnabled: boolean;
  allowedMemberTypes: string[];
}

export interface OptionalClaim {
  name: string;
  additionalProperties: string[];
  /** Has no effect, here as there. */
  essential?: boolean | undefined;
  source?: string | null | undefined;
}

/** What an API's registration says it would like to call. Grants nothing. */
export interface RequiredResourceAccess {
  resourceAppId: string;
  resourceAccess: { id: string; type: string }[];
}

/** An app registration. */
export interface Application {
  /** Object id. */
  readonly id: string;
  /** Client id. */
  readonly appId: string;
  /** The tenant that it is registered in. */
  readonly tenantId: string;
  /** Object ids of the service principals that may change it. */
  owners: string[];
  uniqueName: string | null;
  displayName: string;
  description: string | null;
  signInAudience: string;
  identifierUris: string[];
  /** Format of the access tokens for this API: 2, or 1 where it is 1 or null. */
  requestedAccessTokenVersion: 1 | 2 | null;
  appRoles: AppRole[];
  /** Optional claims of the access tokens for this API. */
  accessTokenClaims: OptionalClaim[];
  requiredResourceAccess: RequiredResourceAccess[];
  passwordCredentials: PasswordCredential[];
  keyCredentials: KeyCredential[];
  federatedIdentityCredentials: FederatedIdentityCredential[];
  /** Fixed life of the access tokens for this API in seconds; random between 60 and 90 minutes where null. */
  tokenLifetimeSeconds: number | null;
  /** `refresh_in` of the tokens for this API; without it, half of a life of two hours or more. */
  refreshInSeconds: number | null;
  /** Properties that Graph has and local-entra only keeps. */
  other: Record<string, unknown>;
  readonly createdMs: number;
}

/** An application's presence in a tenant: what is granted to, and what is asked for. */
export interface ServicePrincipal {
  /** Object id. */
  readonly id: string;
  readonly appId: string;
  readonly tenantId: string;
  owners: string[];
  displayName: string;
  accountEnabled: boolean;
  /** Refuse tokens to applications that hold none of its roles. */
  appRoleAssignmentRequired: boolean;
  servicePrincipalType: 'Application' | 'ManagedIdentity';
  /** Of a managed identity: its resource id in Azure. */
  alternativeNames: string[];
  other: Record<string, unknown>;
  readonly createdMs: number;
}

/** A role granted with admin consent. */
export interface AppRoleAssignment {
  readonly id: string;
  /** Object id of the caller's service principal. */
  readonly principalId: string;
  /** Object id of the API's service principal. */
  readonly resourceId: string;
  readonly appRoleId: string;
  readonly createdMs: number;
  /** Until then tokens do not show it. */
  visibleFromMs: number;
}
