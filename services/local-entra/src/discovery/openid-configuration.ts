import type { Middleware } from 'koa';
import type { EntraContext } from '../entra-context.ts';
import { findTenant, tenantAliases } from '../token/resolve-tenant.ts';

/** What an address says of "any tenant": the reader puts the token's `tid` here. */
const tenantTemplate = '{tenantid}';

const claimsSupported = (
  'sub iss cloud_instance_name cloud_instance_host_name cloud_graph_host_name msgraph_host aud exp iat ' +
  'auth_time acr nonce preferred_username name tid ver at_hash c_hash email'
).split(' ');

const documentOf = (origin: string, tenant: string, issuerTenant: string): object => {
  const base = `${origin}/${tenant}`;
  return {
    token_endpoint: `${base}/oauth2/v2.0/token`,
    token_endpoint_auth_methods_supported: ['client_secret_post', 'private_key_jwt', 'client_secret_basic'],
    jwks_uri: `${base}/discovery/v2.0/keys`,
    response_modes_supported: ['query', 'fragment', 'form_post'],
    subject_types_supported: ['pairwise'],
    id_token_signing_alg_values_supported: ['RS256'],
    response_types_supported: ['code', 'id_token', 'code id_token', 'id_token token'],
    scopes_supported: ['openid', 'profile', 'email', 'offline_access'],
    issuer: `${origin}/${issuerTenant}/v2.0`,
    request_uri_parameter_supported: false,
    userinfo_endpoint: `${origin}/oidc/userinfo`,
    authorization_endpoint: `${base}/oauth2/v2.0/authorize`,
    device_authorization_endpoint: `${base}/oauth2/v2.0/devicecode`,
    http_logout_supported: true,
    frontchannel_logout_supported: true,
    end_session_endpoint: `${base}/oauth2/v2.0/logout`,
    claims_supported: claimsSupported,
    kerberos_endpoint: `${base}/kerberos`,
    tenant_region_scope: null,
    cloud_instance_name: new URL(origin).host,
    cloud_graph_host_name: new URL(origin).host,
    msgraph_host: new URL(origin).host,
    rbac_url: origin,
  };
};

/** `/{tenant}/v2.0/.well-known/openid-configuration`: addresses with the tenant's id, however it was named. */
export const openidConfiguration = (entra: EntraContext): Middleware =>
  function openidConfiguration(ctx) {
    const name = (ctx['params'] as { tenant: string }).tenant.toLowerCase();
    if (tenantAliases.has(name)) {
      ctx.body = documentOf(entra.origin(), name, tenantTemplate);
      return;
    }
    const { id } = findTenant(entra.directory, name, 'unknownTenantInDiscovery');
    ctx.body = documentOf(entra.origin(), id, id);
  };
