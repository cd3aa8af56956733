import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { z } from 'zod';

/** Configuration that a service cannot start with; `problems` holds one sentence per wrong setting. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(`The configuration cannot be used: ${problems.join('; ')}.`);
    this.problems = problems;
  }
}

/**
 * Turns environment variables into a typed configuration. An empty variable counts as missing.
 *
 * @throws {ConfigError} one message that names every wrong or missing variable.
 */
export const parseConfig = <Schema extends z.ZodObject>(
  schema: Schema,
  env: Readonly<Record<string, string | undefined>>,
): z.output<Schema> => {
  const settings = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ''));
  const result = schema.safeParse(settings);
  if (result.success) return result.data;
  throw new ConfigError(
    result.error.issues.map((issue) => {
      const name = issue.path.join('.');
      const missing = issue.code === 'invalid_type' && settings[name] === undefined;
      return missing ? `${name} is missing` : `${name} ${issue.message}`;
    }),
  );
};

/** A TCP port, 0 to let the system choose. */
export const portSetting = z
  .string()
  .regex(/^\d{1,5}$/, 'must be a port number')
  .transform(Number)
  .refine((port) => port <= 65_535, 'must be at most 65535');

const urlSetting = (schemes: readonly string[]) =>
  z.string().transform((text, context) => {
    const url = URL.canParse(text) ? new URL(text) : undefined;
    if (
      url &&
      schemes.includes(url.protocol) &&
      url.username === '' &&
      url.password === '' &&
      url.search === '' &&
      url.hash === ''
    ) {
      return url;
    }
    const wanted = schemes.map((scheme) => `${scheme}//`).join(' or ');
    context.addIssue({
      code: 'custom',
      message: `must be a URL that starts with ${wanted}, without credentials and query`,
    });
    return z.NEVER;
  });

/** An absolute http: or https: URL without credentials, query or fragment. */
export const httpUrlSetting = urlSetting(['http:', 'https:']);

/** Scheme and host of an https: server; a trailing slash is allowed. */
export const httpsOriginSetting = urlSetting(['https:']).refine(
  ({ pathname }) => pathname === '/',
  'must be an origin such as https://login.microsoftonline.com, without a path',
);

/** A GUID as Entra writes it, lower-cased. */
export const guidSetting = z
  .string()
  .regex(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i, 'must be a GUID')
  .transform((guid) => guid.toLowerCase());

const pemCertificate = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

const holdsCertificates = (text: string): boolean => {
  try {
    return (text.match(pemCertificate) ?? []).filter((pem) => new X509Certificate(pem)).length > 0;
  } catch {
    return false;
  }
};

/** A path; the setting's value is the file's text. Unreadable or empty files are configuration errors. */
export const fileTextSetting = z.string().transform((path, context) => {
  try {
    const text = readFileSync(path, 'utf8');
    if (text.trim() !== '') return text;
    context.addIssue({ code: 'custom', message: `names the file ${path}, which is empty` });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    context.addIssue({ code: 'custom', message: `names the file ${path}, which cannot be read (${code})` });
  }
  return z.NEVER;
});

/** As {@link fileTextSetting}, for a file of PEM certificates. */
export const certificatesFileSetting = fileTextSetting.refine(
  holdsCertificates,
  'names a file that does not hold certificates in PEM',
);

/** The path of a file that can be read now; its text is for others to read, and to read again. */
export const readableFileSetting = z.string().superRefine((path, context) => {
  const result = fileTextSetting.safeParse(path);
  for (const { message } of result.error?.issues ?? []) context.addIssue({ code: 'custom', message });
});

const millisecondsSetting = z
  .string()
  .regex(/^\d{1,6}$/, 'must be a number of milliseconds')
  .transform(Number);

/** The settings that every service has; spread them into its schema. The service adds its own `PORT`. */
export const commonSettings = {
  /** Address to listen on. */
  HOST: z.string().default('127.0.0.1'),
  /** Least severe level to log. */
  LOG_LEVEL: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal']).default('info'),
  /** How long work is still taken after a stop was asked for: until load balancers have noticed. */
  DRAIN_DELAY_MS: millisecondsSetting.default(0),
  /** How long requests in flight may take after that. */
  DRAIN_TIMEOUT_MS: millisecondsSetting.default(10_000),
};

/** The settings of a port for metrics alone. */
export const metricsSettings = {
  /** Default: there is none. */
  METRICS_PORT: portSetting.optional(),
  METRICS_HOST: z.string().default('127.0.0.1'),
};
