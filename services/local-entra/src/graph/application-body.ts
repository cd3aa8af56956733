import { z } from 'zod';

const guid = z
  .string()
  .regex(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i, 'must be a GUID')
  .transform((text) => text.toLowerCase());
const instant = z.iso.datetime({ offset: true, error: 'must be a time such as 2030-01-31T00:00:00Z' });

const appRole = z.strictObject({
  id: guid,
  value: z.string().regex(/^\S{1,120}$/, 'must be 1 to 120 characters without spaces'),
  displayName: z.string().min(1).max(100),
  description: z.string().min(1),
  isEnabled: z.boolean().default(true),
  allowedMemberTypes: z.array(z.enum(['Application', 'User'])).min(1),
  /** Graph shows it; whoever sends back what it read sends it, too. */
  origin: z.string().nullish(),
});

const optionalClaim = z.strictObject({
  name: z.string().min(1),
  essential: z.boolean().optional(),
  source: z.string().nullish(),
  additionalProperties: z.array(z.string()).nullish(),
});

const keyCredential = z.strictObject({
  keyId: guid.nullish(),
  type: z.literal('AsymmetricX509Cert'),
  usage: z.literal('Verify'),
  /** base64 of the certificate's DER; null stands for one that is there already. */
  key: z.string().nullish(),
  displayName: z.string().nullish(),
  /** Within the certificate's own time, which is the default. */
  startDateTime: instant.nullish(),
  endDateTime: instant.nullish(),
  customKeyIdentifier: z.string().max(256).nullish(),
});

/** A delegated permission. There are no people here: it is kept and shown again. */
const permissionScope = z.strictObject({
  id: guid,
  value: z.string().max(120).nullish(),
  type: z.enum(['User', 'Admin']).optional(),
  isEnabled: z.boolean().optional(),
  adminConsentDisplayName: z.string().nullish(),
  adminConsentDescription: z.string().nullish(),
  userConsentDisplayName: z.string().nullish(),
  userConsentDescription: z.string().nullish(),
  origin: z.string().nullish(),
});

const api = z.strictObject({
  requestedAccessTokenVersion: z.union([z.literal(1), z.literal(2), z.null()]).optional(),
  acceptMappedClaims: z.boolean().nullish(),
  knownClientApplications: z.array(guid).optional(),
  oauth2PermissionScopes: z.array(permissionScope).optional(),
  preAuthorizedApplications: z
    .array(z.strictObject({ appId: guid, delegatedPermissionIds: z.array(guid).optional() }))
    .optional(),
});

/** What can be set on an application. Nothing has a default: a PATCH changes what it names. */
export const applicationBody = z.object({
  uniqueName: z.string().min(1).max(128).nullish(),
  displayName: z.string().min(1).max(256).optional(),
  description: z.string().max(1024).nullish(),
  signInAudience: z
    .enum([
      'AzureADMyOrg',
      'AzureADMultipleOrgs',
      'AzureADandPersonalMicrosoftAccount',
      'PersonalMicrosoftAccount',
    ])
    .optional(),
  identifierUris: z
    .array(
      z
        .string()
        .max(255)
        .refine((uri) => URL.canParse(uri), 'must be URIs'),
    )
    .optional(),
  api: api.optional(),
  appRoles: z.array(appRole).optional(),
  optionalClaims: z
    .strictObject({
      accessToken: z.array(optionalClaim).nullish(),
      idToken: z.array(optionalClaim).nullish(),
      saml2Token: z.array(optionalClaim).nullish(),
    })
    .nullish(),
  requiredResourceAccess: z
    .array(
      z.strictObject({
        resourceAppId: guid,
        resourceAccess: z.array(z.strictObject({ id: guid, type: z.enum(['Role', 'Scope']) })),
      }),
    )
    .optional(),
  keyCredentials: z.array(keyCredential).optional(),
});
export type ApplicationBody = z.output<typeof applicationBody>;

/** Graph has these, too; they have no effect here. */
export const keptApplicationProperties: ReadonlySet<string> = new Set([
  'addIns',
  'applicationTemplateId',
  'authenticationBehaviors',
  'defaultRedirectUri',
  'disabledByMicrosoftStatus',
  'groupMembershipClaims',
  'info',
  'isDeviceOnlyAuthSupported',
  'isFallbackPublicClient',
  'nativeAuthenticationApisEnabled',
  'notes',
  'oauth2RequirePostResponse',
  'parentalControlSettings',
  'publicClient',
  'requestSignatureVerification',
  'samlMetadataUrl',
  'serviceManagementReference',
  'servicePrincipalLockConfiguration',
  'spa',
  'tags',
  'tokenEncryptionKeyId',
  'verifiedPublisher',
  'web',
]);

/** The body of `addPassword`. */
export const addPasswordBody = z.object({
  passwordCredential: z
    .strictObject({
      // Graph's own: nobody can set them.
      customKeyIdentifier: z.null().optional(),
      hint: z.null().optional(),
      keyId: z.null().optional(),
      secretText: z.null().optional(),
      displayName: z.string().max(256).nullish(),
      startDateTime: instant.nullish(),
      endDateTime: instant.nullish(),
    })
    .nullish(),
});

/** The body of `removePassword`. */
export const removePasswordBody = z.object({ keyId: guid });

/** A federated identity credential. `name` cannot be changed. */
export const federatedCredentialBody = z.object({
  name: z
    .string()
    .regex(/^[\w-]{1,120}$/, 'must be 1 to 120 URL-safe characters')
    .optional(),
  issuer: z
    .url({ protocol: /^https?$/, error: 'must be an http: or https: URL' })
    .max(600)
    .optional(),
  subject: z.string().min(1).max(600).optional(),
  audiences: z.array(z.string().min(1).max(600)).length(1, 'must hold exactly one').optional(),
  description: z.string().max(600).nullish(),
});

/** What can be set on a service principal. */
export const servicePrincipalBody = z.object({
  appId: guid.optional(),
  displayName: z.string().min(1).max(256).optional(),
  accountEnabled: z.boolean().optional(),
  appRoleAssignmentRequired: z.boolean().optional(),
});

/** Graph has these, too; they have no effect here. */
export const keptServicePrincipalProperties: ReadonlySet<string> = new Set([
  'alternativeNames',
  'description',
  'homepage',
  'loginUrl',
  'logoutUrl',
  'notes',
  'notificationEmailAddresses',
  'preferredSingleSignOnMode',
  'replyUrls',
  'tags',
]);

/** A role to be granted. */
export const assignmentBody = z.object({ principalId: guid, resourceId: guid, appRoleId: guid });
