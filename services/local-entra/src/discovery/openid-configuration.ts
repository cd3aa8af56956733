import type { Middleware } from 'koa';
import type { EntraContext } from '../entra-context.ts';
import { findTenant, tenantAliases } from '../token/resolve-tenant.ts';
import type { EndpointVersion } from '../token/token-state.ts';

/** What an address says of "any tenant": the reader puts the token's `tid` here. */
const tenantTemplate = '{tenantid}';

const claimsSupported = (
  'sub iss cloud_instance_name cloud_instance_host_name cloud_graph_host_name msgraph_host aud exp iat ' +
  'auth_time acr nonce preferred_username name tid ver at_hash c_hash email'
).split(' ');

/** Where the addresses of the two versions differ. */
const paths = {
  1: { oauth2: 'oauth2', keys: 'discovery/keys', issuer: '' },
  2: { oauth2: 'oauth2/v2.0', keys: 'discovery/v2.0/keys', issuer: 'v2.0' },
} as const satisfies Record<EndpointVersion, object>;

interface DocumentInput {
  origin: string;
  /** How addresses name the tenant. */
  tenant: string;
  /** How the issuer names it. */
  issuerTenant: string;
  version: EndpointVersion;
}

const documentOf = ({ origin, tenant, issuerTenant, version }: DocumentInput): object => {
  const base = `${origin}/${tenant}`;
  const { oauth2, keys, issuer } = paths[version];
  const { host } = new URL(origin);
  return {
    token_endpoint: `${base}/${oauth2}/token`,
    token_endpoint_auth_methods_supported: ['client_secret_post', 'private_key_jwt', 'client_secret_basic'],
    jwks_uri: `${base}/${keys}`,
    response_modes_supported: ['query', 'fragment', 'form_post'],
    subject_types_supported: ['pairwise'],
    id_token_signing_alg_values_supported: ['RS256'],
    response_types_supported: ['code', 'id_token', 'code id_token', 'id_token token'],
    scopes_supported: ['openid', 'profile', 'email', 'offline_access'],
    issuer: `${origin}/${issuerTenant}/${issuer}`,
    request_uri_parameter_supported: false,
    userinfo_endpoint: `${origin}/oidc/userinfo`,
    authorization_endpoint: `${base}/${oauth2}/authorize`,
    device_authorization_endpoint: `${base}/${oauth2}/devicecode`,
    http_logout_supported: true,
    frontchannel_logout_supported: true,
    end_session_endpoint: `${base}/${oauth2}/logout`,
    claims_supported: claimsSupported,
    kerberos_endpoint: `${base}/kerberos`,
    tenant_region_scope: null,
    cloud_instance_name: host,
    cloud_graph_host_name: host,
    msgraph_host: host,
    rbac_url: origin,
  };
};

/**
 * `/{tenant}/v2.0/.well-known/openid-configuration`, or without `v2.0` for version 1: addresses with the tenant's id,
 * however it was named.
 */
export const openidConfiguration = (entra: EntraContext, version: EndpointVersion): Middleware =>
  function openidConfiguration(ctx) {
    const name = (ctx['params'] as { tenant: string }).tenant.toLowerCase();
    const origin = entra.origin();
    if (tenantAliases.has(name)) {
      ctx.body = documentOf({ origin, tenant: name, issuerTenant: tenantTemplate, version });
      return;
    }
    const { id } = findTenant(entra.directory, name, 'unknownTenantInDiscovery');
    ctx.body = documentOf({ origin, tenant: id, issuerTenant: id, version });
  };
