import {
  certificatesFileSetting,
  commonSettings,
  ConfigError,
  guidSetting,
  httpsOriginSetting,
  metricsSettings,
  parseConfig,
  portSetting,
  readableFileSetting,
} from '@countersign/service-kit';
import { z } from 'zod';
import { maxImports } from './transfers.ts';

type Environment = Readonly<Record<string, string | undefined>>;

const numberSetting = (least: number, most: number) =>
  z
    .string()
    .regex(/^\d{1,9}$/, 'must be a number')
    .transform(Number)
    .refine((value) => value >= least && value <= most, `must be ${least} to ${most}`);

const databaseUrlSetting = z.string().transform((text, context) => {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isPostgres = url?.protocol === 'postgres:' || url?.protocol === 'postgresql:';
  const database = url?.pathname.slice(1);
  if (url && isPostgres && url.hostname && url.username && database && !url.password && !url.search) {
    return {
      host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
      port: Number(url.port || 5432),
      user: decodeURIComponent(url.username),
      database: decodeURIComponent(database),
    };
  }
  context.addIssue({
    code: 'custom',
    message: 'must be postgres://user@host:port/database, without a password and parameters',
  });
  return z.NEVER;
});

/** Where the records are. */
const databaseSettings = {
  /** Where SQLite keeps its file. Either this or DATABASE_URL. */
  DATA_FOLDER: z.string().optional(),
  DATABASE_URL: databaseUrlSetting.optional(),
  /** File with the password; read again for each connection. */
  DATABASE_PASSWORD_FILE: readableFileSetting.optional(),
  /** Instead of a password: tokens of Entra for the application that AZURE_CLIENT_ID and its credential describe. */
  DATABASE_TOKEN_SCOPE: z
    .string()
    .regex(/^\S+\/\.default$/, 'must end in /.default')
    .optional(),
  DATABASE_TLS: z.enum(['verify', 'off']).default('verify'),
  /** PEM certificates to trust, in place of the system's. */
  DATABASE_CA_FILE: certificatesFileSetting.optional(),
  /** Imports hold a connection each, and are not all there is. */
  DATABASE_POOL_SIZE: numberSetting(maxImports + 1, 1_000).prefault('10'),
  DATABASE_STATEMENT_TIMEOUT_MS: numberSetting(1, 600_000).prefault('5000'),
  /** PEM certificates to trust on top of the system's, for a local-entra or a company's proxy. */
  CA_FILE: certificatesFileSetting.optional(),
};

const { LOG_LEVEL } = commonSettings;

/** The environment variables of the migration step. */
export const migrateConfigSchema = z.object({ LOG_LEVEL, ...databaseSettings });

/** The environment variables of records-api. */
export const configSchema = z.object({
  ...commonSettings,
  ...metricsSettings,
  ...databaseSettings,
  PORT: portSetting.default(8081),
  /** Scheme and host of Entra ID, or of local-entra. */
  AZURE_AUTHORITY_HOST: httpsOriginSetting,
  AZURE_TENANT_ID: guidSetting,
  /** This API's client id, which is the audience of every token that it takes. */
  API_CLIENT_ID: guidSetting,
});

export type DatabaseConfig = z.output<typeof migrateConfigSchema>;

/**
 * `parseConfig`, and what the settings of the database have to be together.
 *
 * @throws {ConfigError}
 */
export const parseRecordsConfig = <Schema extends typeof migrateConfigSchema>(
  schema: Schema,
  env: Environment,
): z.output<Schema> => {
  const config = parseConfig(schema, env);
  const { DATA_FOLDER, DATABASE_URL, DATABASE_PASSWORD_FILE, DATABASE_TOKEN_SCOPE }: DatabaseConfig = config;
  if ((DATA_FOLDER === undefined) === (DATABASE_URL === undefined)) {
    throw new ConfigError(['either DATA_FOLDER or DATABASE_URL has to be set']);
  }
  if (DATABASE_URL && (DATABASE_PASSWORD_FILE === undefined) === (DATABASE_TOKEN_SCOPE === undefined)) {
    throw new ConfigError([
      'with DATABASE_URL, either DATABASE_PASSWORD_FILE or DATABASE_TOKEN_SCOPE has to be set',
    ]);
  }
  return config;
};
