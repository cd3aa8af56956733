import { z } from 'zod';

/** What stands in the overlay until somebody says what is there. */
export const placeholder = 'replace-me';

const guid = z.guid('must be a GUID');
const image = z
  .string()
  .regex(
    /^[a-z0-9]+\.azurecr\.io\/[a-z0-9/._-]+@sha256:[0-9a-f]{64}$/,
    'must be an image of your registry by digest',
  );
const range = z
  .cidrv4({ error: 'must be a range such as 10.0.0.0/16', abort: true })
  .refine((text) => Number(text.split('/')[1]) >= 8, 'must be no wider than /8');
const https = z.url({ protocol: /^https$/, error: 'must be an https: URL' });

/** What `aks.env` has to hold. */
const siteSchema = z.strictObject({
  AZURE_TENANT_ID: guid,
  RECORDS_API_CLIENT_ID: guid,
  CALLER_API_CLIENT_ID: guid,
  GATEWAY_IMAGE: image,
  RECORDS_API_IMAGE: image,
  CALLER_API_IMAGE: image,
  DATABASE_URL: z
    .string()
    .regex(/^postgres:\/\/[^/@:]+@[\w.-]+:\d+\/\w+$/, 'must be postgres://user@host:port/database'),
  DATABASE_CIDR: range,
  DATABASE_IDENTITY_CLIENT_ID: guid,
  RATE_LIMIT_STORE_URL: z
    .string()
    .regex(/^rediss:\/\/[0-9a-f-]{36}@[\w.-]+:\d+$/, 'must be rediss://<object id>@host:port'),
  RATE_LIMIT_STORE_CIDR: range,
  GATEWAY_IDENTITY_CLIENT_ID: guid,
  HOST_NAME: z.string().regex(/^([a-z0-9-]+\.)+[a-z]{2,}$/, 'must be a host name'),
  INGRESS_CIDR: range,
  CERTIFICATE_URI: z
    .string()
    .regex(
      /^https:\/\/[\w-]+\.vault\.azure\.net\/certificates\/[\w-]+$/,
      'must name a certificate without a version, so that rotation is followed',
    ),
  CERTIFICATE_IDENTITY_CLIENT_ID: guid,
  ALB_NAMESPACE: z.string().regex(/^[a-z0-9-]+$/, 'must be a namespace'),
  ALB_NAME: z.string().regex(/^[a-z0-9-]+$/, 'must be a name'),
  PROMETHEUS_ENDPOINT: https,
  PROMETHEUS_IDENTITY_CLIENT_ID: guid,
});

/** The values that `aks.env` has to hold, by name. */
export const siteNames: readonly string[] = Object.keys(siteSchema.shape);

/** The lines of an env file. */
export const parseEnv = (text: string): Record<string, string> =>
  Object.fromEntries(
    text
      .split('\n')
      .filter((line) => /^\s*[^#\s]/.test(line))
      .map((line) => {
        const [name = '', ...rest] = line.split('=');
        return [name.trim(), rest.join('=')];
      }),
  );

/**
 * What is wrong with the values of a site.
 *
 * @param isUsed whether what is applied depends on a value; those of components that are left out may stay as they are.
 */
export const siteProblems = (text: string, isUsed: (name: string) => boolean): string[] => {
  const site = parseEnv(text);
  const left = Object.keys(site).filter((name) => isUsed(name) && site[name]?.includes(placeholder));
  const { error } = siteSchema.safeParse(site);
  const wrong = (error?.issues ?? []).filter(({ path: [name] }) => {
    if (name === undefined) return true;
    return !left.includes(String(name)) && (isUsed(String(name)) || site[String(name)] === undefined);
  });
  return [
    ...left.map((name) => `${name} is still to be replaced`),
    ...wrong.map(({ path: [name], message }) =>
      name !== undefined && site[String(name)] === undefined
        ? `${String(name)} is missing`
        : [name, message].join(' ').trim(),
    ),
  ];
};
