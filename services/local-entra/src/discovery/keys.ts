import type { Middleware } from 'koa';
import type { EntraContext } from '../entra-context.ts';
import { findTenant, tenantAliases } from '../token/resolve-tenant.ts';

/**
 * `/{tenant}/discovery/v2.0/keys` and `/{tenant}/discovery/keys`: every key that may sign (RFC 7517), each with the issuer that it signs for,
 * in the form of version 2 in both.
 */
export const keys = (entra: EntraContext): Middleware =>
  function keys(ctx) {
    const name = (ctx['params'] as { tenant: string }).tenant.toLowerCase();
    const tenant = tenantAliases.has(name)
      ? '{tenantid}'
      : findTenant(entra.directory, name, 'unknownTenantInDiscovery').id;
    const issuer = `${entra.origin()}/${tenant}/v2.0`;
    ctx.body = { keys: entra.signingKeys.published().map(({ published }) => ({ ...published, issuer })) };
  };
