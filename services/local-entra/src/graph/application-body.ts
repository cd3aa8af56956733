import { z } from 'zod';

const guid = z
  .string()
  .regex(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i, 'must be a GUID')
  .transform((text) => text.toLowerCase());
const instant = z.iso.datetime({ offset: true, error: 'must be a time such as 2030-01-31T00:00:00Z' });

const appRole = z.object({
  id: guid,
  value: z.string().regex(/^\S{1,120}$/, 'must be 1 to 120 characters without spaces'),
  displayName: z.string().min(1).max(100),
  description: z.string().min(1),
  isEnabled: z.boolean().default(true),
  allowedMemberTypes: z.array(z.enum(['Application', 'User'])).min(1),
});

const optionalClaim = z.object({
  name: z.string().min(1),
  additionalProperties: z.array(z.string()).nullish(),
});

const keyCredential = z.object({
  keyId: guid.nullish(),
  type: z.literal('AsymmetricX509Cert'),
  usage: z.literal('Verify'),
  /** base64 of the certificate's DER; null stands for one that is there already. */
  key: z.string().nullish(),
  displayName: z.string().nullish(),
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
  api: z
    .object({ requestedAccessTokenVersion: z.union([z.literal(1), z.literal(2), z.null()]).optional() })
    .optional(),
  appRoles: z.array(appRole).optional(),
  optionalClaims: z.object({ accessToken: z.array(optionalClaim).nullish() }).nullish(),
  requiredResourceAccess: z
    .array(
      z.object({
        resourceAppId: guid,
        resourceAccess: z.array(z.object({ id: guid, type: z.enum(['Role', 'Scope']) })),
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
    .object({
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
  issuer: z.string().min(1).max(600).optional(),
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
