import { commonSettings, fileTextSetting, portSetting } from '@countersign/service-kit';
import { z } from 'zod';

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
  SEED_FILE: fileTextSetting.optional(),
  /** PEM certificates to trust when the keys of other issuers are fetched. */
  FEDERATION_CA_FILE: fileTextSetting.optional(),
});
