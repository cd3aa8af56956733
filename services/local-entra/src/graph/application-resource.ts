import type {
  Application,
  FederatedIdentityCredential,
  KeyCredential,
  PasswordCredential,
} from '../directory/entities.ts';
import type { GraphObject } from './query-options.ts';

const instant = (ms: number): string => new Date(ms).toISOString().replace('.000Z', 'Z');

/** A secret as Graph shows it: never its text. */
export const passwordResource = (credential: PasswordCredential): GraphObject => ({
  customKeyIdentifier: null,
  displayName: credential.displayName,
  endDateTime: instant(credential.endMs),
  hint: credential.hint,
  keyId: credential.keyId,
  secretText: null,
  startDateTime: instant(credential.startMs),
});

const keyResource = (credential: KeyCredential, withKey: boolean): GraphObject => ({
  customKeyIdentifier:
    credential.customKeyIdentifier ??
    Buffer.from(credential.thumbprint, 'base64url').toString('hex').toUpperCase(),
  displayName: credential.displayName,
  endDateTime: instant(credential.endMs),
  key: withKey ? credential.key : null,
  keyId: credential.keyId,
  startDateTime: instant(credential.startMs),
  type: 'AsymmetricX509Cert',
  usage: 'Verify',
});

export const federatedCredentialResource = (credential: FederatedIdentityCredential): GraphObject => ({
  id: credential.id,
  name: credential.name,
  issuer: credential.issuer,
  subject: credential.subject,
  audiences: credential.audiences,
  description: credential.description,
});

const optionalClaimsResource = ({ accessTokenClaims, other }: Application): GraphObject | null => {
  const kept = other['optionalClaims'] as GraphObject | undefined;
  if (accessTokenClaims.length === 0 && kept === undefined) return null;
  return {
    accessToken: accessTokenClaims.map((claim) => ({ essential: false, source: null, ...claim })),
    idToken: [],
    saml2Token: [],
    ...kept,
  };
};

/**
 * An application as Graph shows it.
 *
 * @param withKeys show the certificates themselves, as Graph does only where `$select` asks for `keyCredentials`.
 */
export const applicationResource = (application: Application, withKeys = false): GraphObject => ({
  tags: [],
  ...application.other,
  id: application.id,
  appId: application.appId,
  uniqueName: application.uniqueName,
  displayName: application.displayName,
  description: application.description,
  createdDateTime: instant(application.createdMs),
  deletedDateTime: null,
  signInAudience: application.signInAudience,
  identifierUris: application.identifierUris,
  api: {
    acceptMappedClaims: null,
    knownClientApplications: [],
    requestedAccessTokenVersion: application.requestedAccessTokenVersion,
    oauth2PermissionScopes: [],
    preAuthorizedApplications: [],
    ...(application.other['api'] as object | undefined),
  },
  appRoles: application.appRoles.map((role) => ({ ...role, origin: 'Application' })),
  optionalClaims: optionalClaimsResource(application),
  requiredResourceAccess: application.requiredResourceAccess,
  passwordCredentials: application.passwordCredentials.map(passwordResource),
  keyCredentials: application.keyCredentials.map((credential) => keyResource(credential, withKeys)),
});
