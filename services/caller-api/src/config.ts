import {
  commonSettings,
  certificatesFileSetting,
  guidSetting,
  httpsOriginSetting,
  httpUrlSetting,
  portSetting,
  readableFileSetting,
} from '@countersign/service-kit';
import { z } from 'zod';

/** The environment variables of caller-api. */
export const configSchema = z.object({
  ...commonSettings,
  PORT: portSetting.default(8082),
  /** Who may use this API. There is no default: that anybody may has to be said. */
  ACCESS_MODE: z.literal('anonymous', 'must be "anonymous"'),
  /** Scheme and host of Entra ID, or of local-entra. */
  AZURE_AUTHORITY_HOST: httpsOriginSetting,
  AZURE_TENANT_ID: guidSetting,
  /** This API's own client id. */
  AZURE_CLIENT_ID: guidSetting,
  /** A file with the client secret; read again when it changes. */
  AZURE_CLIENT_SECRET_FILE: readableFileSetting,
  /** Where records-api is, directly or through the gateway. */
  RECORDS_API_URL: httpUrlSetting,
  /** What to ask Entra for, such as `api://<client id of records-api>/.default`. */
  RECORDS_API_SCOPE: z.string().regex(/^\S+\/\.default$/, 'must be one scope that ends in /.default'),
  /** How long one call of records-api may take, in milliseconds. */
  RECORDS_API_TIMEOUT_MS: z
    .string()
    .regex(/^[1-9]\d{0,5}$/, 'must be a number of milliseconds')
    .default('10000')
    .transform(Number),
  /** PEM certificates to trust on top of the system's, for a local-entra or a company's proxy. */
  CA_FILE: certificatesFileSetting.optional(),
});
