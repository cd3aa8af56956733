import { commonSettings, fileTextSetting, portSetting } from '@countersign/service-kit';
import { z } from 'zod';
import type { LocalEntraOptions } from './local-entra.ts';

/** A file's text together with its path, for messages. */
const namedFileSetting = z.string().transform((path, context) => {
  const read = fileTextSetting.safeParse(path);
  if (read.success) return { path, text: read.data };
  for (const { message } of read.error.issues) context.addIssue({ code: 'custom', message });
  return z.NEVER;
});

/** The environment of the service. */
export const configSchema = z.object({
  ...commonSettings,
  PORT: portSetting.default(8443),
  /** Public origin and base of every issuer. Default `https://localhost:<bound port>`. */
  ORIGIN: z.string().optional(),
  /** Private folder: keys of the authority, of TLS and of tokens. */
  DATA_FOLDER: z.string(),
  /** Where the authority's certificate is published. Default `<DATA_FOLDER>/ca.pem`. */
  CA_FILE: z.string().optional(),
  /** Where generated secrets are kept, one file each. Default `<DATA_FOLDER>/secrets`. */
  SECRETS_FOLDER: z.string().optional(),
  /** Tenants and applications, YAML or JSON. Default: the packaged seed. */
  SEED_FILE: namedFileSetting.optional(),
  /** Where the directory is kept, and found again at the next start. Default: it lives in memory. */
  STATE_FILE: z.string().optional(),
  /** Port of weather and forge on HOST. Default: closed. */
  ADMIN_PORT: portSetting.optional(),
  /** Port of the managed identity endpoints on HOST. Default: closed. */
  MANAGED_IDENTITY_PORT: portSetting.optional(),
  /** What `X-IDENTITY-HEADER` has to be. Default: random. */
  MANAGED_IDENTITY_HEADER: z.string().optional(),
  /** Further names, separated by commas, by which the admin port and managed identity may be called. */
  ALLOWED_HOSTS: z
    .string()
    .regex(/^[\w.:-]+(\s*,\s*[\w.:-]+)*$/, 'must be host names without ports, separated by commas')
    .transform((hosts) => hosts.split(/\s*,\s*/))
    .optional(),
  /** PEM certificates to trust when the keys of other issuers are fetched. */
  FEDERATION_CA_FILE: fileTextSetting.optional(),
});

/** What the environment means for local-entra. */
export const optionsOf = (config: z.output<typeof configSchema>): LocalEntraOptions => ({
  seed: config.SEED_FILE?.text,
  seedName: config.SEED_FILE?.path,
  origin: config.ORIGIN,
  dataFolder: config.DATA_FOLDER,
  caFile: config.CA_FILE,
  secretsFolder: config.SECRETS_FOLDER,
  stateFile: config.STATE_FILE,
  allowedHosts: config.ALLOWED_HOSTS,
  federationCa: config.FEDERATION_CA_FILE === undefined ? undefined : [config.FEDERATION_CA_FILE],
  admin: config.ADMIN_PORT === undefined ? undefined : { host: config.HOST, port: config.ADMIN_PORT },
  managedIdentity:
    config.MANAGED_IDENTITY_PORT === undefined
      ? undefined
      : {
          host: config.HOST,
          port: config.MANAGED_IDENTITY_PORT,
          identityHeader: config.MANAGED_IDENTITY_HEADER,
        },
});
