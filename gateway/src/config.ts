import { commonSettings, portSetting } from '@countersign/service-kit';
import { z } from 'zod';

const isHttpOrigin = (text: string): boolean => {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  return url !== undefined && url.protocol === 'http:' && text.replace(/\/$/, '') === url.origin;
};

/** `records-api=http://127.0.0.1:8081,caller-api=http://127.0.0.1:8082` as a map from name to origin. */
const upstreamsSetting = z.string().transform((text, context) => {
  const upstreams = new Map<string, string>();
  for (const entry of text.split(',')) {
    const [name = '', origin = ''] = entry.trim().split(/=(.*)/s);
    if (name === '' || !isHttpOrigin(origin)) {
      context.addIssue({ code: 'custom', message: `must list name=http://host:port, not "${entry.trim()}"` });
    } else if (upstreams.has(name)) {
      context.addIssue({ code: 'custom', message: `names "${name}" twice` });
    } else upstreams.set(name, new URL(origin).origin);
  }
  return upstreams;
});

/** The environment variables of the gateway. */
export const configSchema = z.object({
  ...commonSettings,
  PORT: portSetting.default(8080),
  /** The route table, a YAML file. Default: the one that comes with the gateway. */
  ROUTES_FILE: z.string().default(new URL('../routes.yaml', import.meta.url).pathname),
  /** Where the upstreams that the route table names are. */
  UPSTREAMS: upstreamsSetting,
  /** How long an upstream may take to the head of its answer, and then between two pieces of it, in milliseconds. */
  UPSTREAM_TIMEOUT_MS: z
    .string()
    .regex(/^[1-9]\d{0,6}$/, 'must be a number of milliseconds')
    .default('30000')
    .transform(Number),
});
