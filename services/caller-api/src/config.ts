import {
  certificatesFileSetting,
  commonSettings,
  ConfigError,
  fileTextSetting,
  guidSetting,
  httpsOriginSetting,
  httpUrlSetting,
  metricsSettings,
  parseConfig,
  portSetting,
  readableFileSetting,
} from '@countersign/service-kit';
import type { CacheKey } from '@countersign/shared-auth';
import { z } from 'zod';

/** A file of AES-256 keys, a line each: `id:` and 32 bytes in base64. The first encrypts, all decrypt. */
const cacheKeysSetting = fileTextSetting.transform((text, context): readonly CacheKey[] => {
  const keys = text
    .trim()
    .split(/\s*\n\s*/)
    .map((line) => {
      const [, id = '', encoded = ''] = /^([\w-]+):([\w+/]{43}=)$/.exec(line) ?? [];
      return { id, key: Buffer.from(encoded, 'base64') };
    });
  if (keys.every(({ key }) => key.length === 32) && new Set(keys.map(({ id }) => id)).size === keys.length)
    return keys;
  const message = 'names a file whose lines are not a name, a colon and 32 bytes in base64, each name once';
  context.addIssue({ code: 'custom', message });
  return z.NEVER;
});

const roleSetting = z.string().regex(/^[\w.:-]{1,120}$/, 'must be the value of an app role');

/** The environment variables of caller-api. */
export const configSchema = z.object({
  ...commonSettings,
  ...metricsSettings,
  PORT: portSetting.default(8082),
  /** Who may use this API. There is no default: that anybody may has to be said. */
  ACCESS_MODE: z.enum(['anonymous', 'app-role', 'ingress'], {
    error: 'has to say who may call this API: anonymous, app-role or ingress',
  }),
  /** With `anonymous`: whoever reaches this service may write as well. */
  ANONYMOUS_WRITES: z.literal('allow', 'can only be "allow"').optional(),
  /** Names by which this service may be called beside the loopback ones, by commas. By any without it, unless anonymous write. */
  ALLOWED_HOSTS: z
    .string()
    .transform((text) => text.split(',').map((name) => name.trim()))
    .pipe(
      z.array(
        z.string().regex(/^(?:[\w.-]+|\[[\da-f:.]+\])$/i, 'must be host names without ports, by commas'),
      ),
    )
    .optional(),
  /** With `app-role`: the app role of this API that its callers hold to read. */
  ACCESS_APP_ROLE: roleSetting.optional(),
  /** … and to write. Without it, nobody writes. */
  ACCESS_WRITE_APP_ROLE: roleSetting.optional(),
  /** With `ingress`: client ids, separated by commas. */
  INGRESS_CLIENT_IDS: z
    .string()
    .transform((text) => text.split(',').map((id) => id.trim()))
    .pipe(z.array(guidSetting))
    .optional(),
  /** Scheme and host of Entra ID, or of local-entra. */
  AZURE_AUTHORITY_HOST: httpsOriginSetting,
  AZURE_TENANT_ID: guidSetting,
  /** This API's own client id. */
  AZURE_CLIENT_ID: guidSetting,
  /** A file with the client secret; read again when it changes. One of these three. */
  AZURE_CLIENT_SECRET_FILE: readableFileSetting.optional(),
  /** PEM with private key and certificate; read again when it changes. */
  AZURE_CLIENT_CERTIFICATE_PATH: readableFileSetting.optional(),
  /** The token of AKS workload identity; read again when it changes. */
  AZURE_FEDERATED_TOKEN_FILE: readableFileSetting.optional(),
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
  /** A redis: or rediss: URL of Valkey or Redis, where replicas share their tokens. Default: each keeps its own. */
  TOKEN_CACHE_URL: z
    .url({ protocol: /^rediss?$/, error: 'must be a redis: URL' })
    .refine((url) => new URL(url).password === '', 'must not hold a password: TOKEN_CACHE_PASSWORD_FILE does')
    .optional(),
  /** With it: the keys that encrypt what is kept there. */
  TOKEN_CACHE_KEY_FILE: cacheKeysSetting.optional(),
  /** The password of that server. */
  TOKEN_CACHE_PASSWORD_FILE: fileTextSetting.transform((text) => text.trim()).optional(),
  /** PEM certificates to trust on top of the system's, for a local-entra or a company's proxy. */
  CA_FILE: certificatesFileSetting.optional(),
});

export type CallerConfig = z.output<typeof configSchema>;

type Name = keyof CallerConfig;

/** What goes with each access mode, and with no other. */
const settingsOfMode: Readonly<Record<CallerConfig['ACCESS_MODE'], readonly Name[]>> = {
  anonymous: ['ANONYMOUS_WRITES'],
  'app-role': ['ACCESS_APP_ROLE', 'ACCESS_WRITE_APP_ROLE'],
  ingress: ['INGRESS_CLIENT_IDS'],
};

const needed: ReadonlySet<Name> = new Set<Name>(['ACCESS_APP_ROLE', 'INGRESS_CLIENT_IDS']);

const credentials = [
  'AZURE_CLIENT_SECRET_FILE',
  'AZURE_CLIENT_CERTIFICATE_PATH',
  'AZURE_FEDERATED_TOKEN_FILE',
] as const satisfies readonly Name[];

/**
 * `parseConfig`, and what the settings have to be together.
 *
 * @throws {ConfigError}
 */
export const parseCallerConfig = (env: Readonly<Record<string, string | undefined>>): CallerConfig => {
  const config = parseConfig(configSchema, env);
  const problems: string[] = [];
  for (const [mode, names] of Object.entries(settingsOfMode)) {
    const isChosen = config.ACCESS_MODE === mode;
    for (const name of names) {
      if (!isChosen && config[name] !== undefined) problems.push(`${name} is for ACCESS_MODE ${mode} alone`);
      if (isChosen && config[name] === undefined && needed.has(name)) {
        problems.push(`${name} is needed with ACCESS_MODE ${mode}`);
      }
    }
  }
  if (credentials.filter((name) => config[name] !== undefined).length !== 1) {
    problems.push(`one of ${credentials.join(', ')} has to be set`);
  }
  if ((config.TOKEN_CACHE_URL === undefined) !== (config.TOKEN_CACHE_KEY_FILE === undefined)) {
    problems.push('TOKEN_CACHE_URL and TOKEN_CACHE_KEY_FILE go together');
  }
  if (config.TOKEN_CACHE_PASSWORD_FILE !== undefined && config.TOKEN_CACHE_URL === undefined) {
    problems.push('TOKEN_CACHE_PASSWORD_FILE needs TOKEN_CACHE_URL');
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return config;
};

/** The file that proves who this application is. */
export const credentialFile = (config: CallerConfig): string => {
  const name = credentials.find(
    (candidate) => config[candidate] !== undefined,
  ) as (typeof credentials)[number];
  return config[name] as string;
};

/** A page that has its name point here could do what anonymous callers may: where they write, loopback names are the default. */
export const hostsOf = ({ ALLOWED_HOSTS, ANONYMOUS_WRITES }: CallerConfig): readonly string[] | undefined =>
  ALLOWED_HOSTS ?? (ANONYMOUS_WRITES === 'allow' ? [] : undefined);
