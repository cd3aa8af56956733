import {
  commonSettings,
  certificatesFileSetting,
  guidSetting,
  httpsOriginSetting,
  portSetting,
} from '@countersign/service-kit';
import { z } from 'zod';

/** The environment variables of records-api. */
export const configSchema = z.object({
  ...commonSettings,
  PORT: portSetting.default(8081),
  /** Where SQLite keeps its file. */
  DATA_FOLDER: z.string(),
  /** Scheme and host of Entra ID, or of local-entra. */
  AZURE_AUTHORITY_HOST: httpsOriginSetting,
  AZURE_TENANT_ID: guidSetting,
  /** This API's client id, which is the audience of every token that it takes. */
  API_CLIENT_ID: guidSetting,
  /** PEM certificates to trust on top of the system's, for a local-entra or a company's proxy. */
  CA_FILE: certificatesFileSetting.optional(),
});
