import type { Middleware } from 'koa';
import type { EntraContext } from '../entra-context.ts';
import { StsError } from '../sts-errors/sts-error.ts';

const single = (value: string | string[] | undefined): string => (typeof value === 'string' ? value : '');

/** `/common/discovery/instance`: whether an authority is one that this cloud knows. Only local-entra's own is. */
export const instanceDiscovery = (entra: EntraContext): Middleware =>
  function instanceDiscovery(ctx) {
    const version = single(ctx.query['api-version']);
    if (version !== '1.0' && version !== '1.1') throw new StsError('unsupportedApiVersion', { version });
    const endpoint = single(ctx.query['authorization_endpoint']);
    const origin = entra.origin();
    if (!URL.canParse(endpoint) || new URL(endpoint).origin !== origin)
      throw new StsError('unknownAuthority');
    const [, tenant = 'common'] = new URL(endpoint).pathname.split('/');
    const { host } = new URL(origin);
    ctx.body = {
      tenant_discovery_endpoint: `${origin}/${tenant}${version === '1.1' ? '/v2.0' : ''}/.well-known/openid-configuration`,
      ...(version === '1.1' && {
        'api-version': '1.1',
        metadata: [{ preferred_network: host, preferred_cache: host, aliases: [host] }],
      }),
    };
  };
