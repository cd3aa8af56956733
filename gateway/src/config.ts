import { fileURLToPath } from 'node:url';
import {
  certificatesFileSetting,
  commonSettings,
  guidSetting,
  httpsOriginSetting,
  portSetting,
  readableFileSetting,
} from '@countersign/service-kit';
import { z } from 'zod';
import { createTrustedProxies } from './headers/client-address.ts';
import { isOrigin } from './routes/route-schema.ts';

/** `a=x,b=y` as entries; names stand once. */
const namedList = <Value>(readValue: (text: string) => Value | undefined, shape: string) =>
  z.string().transform((text, context): Map<string, Value> => {
    const entries = new Map<string, Value>();
    for (const entry of text.split(',')) {
      const [name = '', rest = ''] = entry.trim().split(/=(.*)/s);
      const value = readValue(rest);
      if (!/^[\w-]+$/.test(name) || value === undefined) {
        context.addIssue({ code: 'custom', message: `must list ${shape}, separated by commas` });
      } else if (entries.has(name)) {
        context.addIssue({ code: 'custom', message: `names "${name}" twice` });
      } else entries.set(name, value);
    }
    return entries;
  });

const addresses = (text: string): string[] | undefined => {
  const origins = text.split('|');
  return origins.every(isOrigin) ? origins.map((origin) => new URL(origin).origin) : undefined;
};

const clientId = (text: string): string | undefined => guidSetting.safeParse(text).data;

const trustedProxies = z.string().transform((text, context) => {
  try {
    return createTrustedProxies(text.split(',').map((range) => range.trim()));
  } catch (error) {
    context.addIssue({ code: 'custom', message: `is not usable: ${(error as Error).message}` });
    return z.NEVER;
  }
});

const wholeNumber = (maximum: number) =>
  z
    .string()
    .regex(/^[1-9]\d{0,9}$/, 'must be a whole number')
    .transform(Number)
    .refine((number) => number <= maximum, `must be at most ${maximum}`);

const settings = z.object({
  ...commonSettings,
  PORT: portSetting.default(8080),
  /** The route table, a YAML file; followed while the gateway runs. Default: the one that comes with it. */
  ROUTES_FILE: z.string().default(fileURLToPath(new URL('../routes.yaml', import.meta.url))),
  /** Where upstreams are: `records-api=http://a:8081|http://b:8081,caller-api=http://c:8082`. */
  UPSTREAMS: namedList(addresses, 'name=http://host:port').default(new Map()),
  /** APIs whose tokens routes may ask for, by client id: `records-api=<GUID>`. */
  APIS: namedList(clientId, 'name=<client id>').default(new Map()),
  /** Scheme and host of Entra ID, or of local-entra. Needed with APIS. */
  AZURE_AUTHORITY_HOST: httpsOriginSetting.optional(),
  AZURE_TENANT_ID: guidSetting.optional(),
  /** PEM certificates to trust on top of the system's, of a local-entra, a company's proxy or https: upstreams. */
  CA_FILE: certificatesFileSetting.optional(),
  /** Addresses and ranges of load balancers in front, whose X-Forwarded headers are believed. Default: none. */
  TRUSTED_PROXIES: trustedProxies.default(createTrustedProxies([])),
  /** Port of metrics, states and the live page, on ADMIN_HOST. Default: there is none. */
  ADMIN_PORT: portSetting.optional(),
  ADMIN_HOST: z.string().default('127.0.0.1'),
  /** A redis: URL of Valkey or Redis, where replicas count rate limits together. Default: each for itself. */
  RATE_LIMIT_STORE_URL: z.url({ protocol: /^rediss?$/, error: 'must be a redis: URL' }).optional(),
  /** A file with the store's password; read again for each connection. */
  RATE_LIMIT_STORE_PASSWORD_FILE: readableFileSetting.optional(),
  /** In place of a password: tokens of Entra, for the application of the two settings that follow. */
  RATE_LIMIT_STORE_TOKEN_SCOPE: z
    .string()
    .regex(/^\S+\/\.default$/, 'must end in /.default')
    .optional(),
  AZURE_CLIENT_ID: guidSetting.optional(),
  /** The token of AKS workload identity; read again when it changes. */
  AZURE_FEDERATED_TOKEN_FILE: readableFileSetting.optional(),
  /** How the listener speaks: HTTP/1.1, or HTTP/2 without TLS behind a load balancer that knows. */
  PROTOCOL: z.enum(['http1', 'h2c']).default('http1'),
  /** With both, the listener speaks TLS, HTTP/2 and HTTP/1.1. They are followed when they change. */
  TLS_CERTIFICATE_FILE: readableFileSetting.optional(),
  TLS_KEY_FILE: readableFileSetting.optional(),
  /** Which client speaks to upstreams over plain HTTP/1.1. */
  TRANSPORT: z.enum(['http1', 'undici']).default('http1'),
  /** Most connections, over all and from one address. */
  MAX_CONNECTIONS: wholeNumber(1_000_000).default(20_000),
  MAX_CONNECTIONS_PER_ADDRESS: wholeNumber(1_000_000).default(4_000),
  /** How long a client may keep the gateway waiting in the middle of a request or answer, in milliseconds. */
  CLIENT_IDLE_MS: wholeNumber(3_600_000).default(60_000),
  /** How long an idle connection of a client is kept; longer than the load balancer's in front. */
  KEEP_ALIVE_MS: wholeNumber(3_600_000).default(72_000),
});

type Settings = z.output<typeof settings>;

const tokenSettings = [
  'AZURE_AUTHORITY_HOST',
  'AZURE_TENANT_ID',
  'AZURE_CLIENT_ID',
  'AZURE_FEDERATED_TOKEN_FILE',
] as const;

/** What the settings of the rate limit store have to be together. */
const storeProblem = (config: Settings): string | undefined => {
  const {
    RATE_LIMIT_STORE_URL: url,
    RATE_LIMIT_STORE_PASSWORD_FILE: file,
    RATE_LIMIT_STORE_TOKEN_SCOPE: scope,
  } = config;
  if (file === undefined && scope === undefined) return undefined;
  if (url === undefined) return 'is needed where its password or token is set';
  const { username, password } = new URL(url);
  if ((file !== undefined && scope !== undefined) || password !== '')
    return 'has more than one password: its own, that of a file, a token';
  if (scope === undefined) return undefined;
  if (username === '') return 'has to name the user whose token it is';
  const missing = tokenSettings.filter((name) => config[name] === undefined);
  return missing.length > 0 ? `needs ${missing.join(', ')} for its token` : undefined;
};

/** The environment variables of the gateway. */
export const configSchema = settings.superRefine((config, context) => {
  const complain = (name: string, message: string): void =>
    context.addIssue({ code: 'custom', path: [name], message });
  for (const name of ['AZURE_AUTHORITY_HOST', 'AZURE_TENANT_ID'] as const) {
    if (config.APIS.size > 0 && config[name] === undefined)
      complain(name, 'is needed to check the tokens of APIS');
  }
  const ofStore = storeProblem(config);
  if (ofStore !== undefined) complain('RATE_LIMIT_STORE_URL', ofStore);
  if ((config.TLS_CERTIFICATE_FILE === undefined) !== (config.TLS_KEY_FILE === undefined)) {
    complain('TLS_KEY_FILE', 'and TLS_CERTIFICATE_FILE go together');
  }
  if (config.PROTOCOL === 'h2c' && config.TLS_KEY_FILE !== undefined)
    complain('PROTOCOL', 'h2c is without TLS');
});

export type Config = z.output<typeof configSchema>;
