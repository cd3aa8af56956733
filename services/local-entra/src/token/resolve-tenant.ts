import type { Middleware } from 'koa';
import type { Directory } from '../directory/directory.ts';
import type { Tenant } from '../directory/entities.ts';
import type { StsErrorCause } from '../sts-errors/error-table.ts';
import { StsError } from '../sts-errors/sts-error.ts';
import type { TokenState } from './token-state.ts';

const guidPattern = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const domainPattern = /^(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)+$/i;

/** Names that stand for "any tenant" in an address. */
export const tenantAliases: ReadonlySet<string> = new Set(['common', 'organizations', 'consumers']);

/** @throws {StsError} for a name that can be none, or that no tenant has. */
export const findTenant = (
  directory: Directory,
  name: string,
  unknown: StsErrorCause = 'unknownTenant',
): Tenant => {
  if (!guidPattern.test(name) && !domainPattern.test(name))
    throw new StsError('malformedTenant', { tenant: name });
  const tenant = directory.findTenant(name);
  if (!tenant) throw new StsError(unknown, { tenant: name });
  return tenant;
};

/** The tenant that the address names; an application cannot sign in to "any". */
export const resolveTenant = (directory: Directory): Middleware<TokenState> =>
  function resolveTenant(ctx, next) {
    const { tenant } = ctx['params'] as { tenant: string };
    if (tenantAliases.has(tenant.toLowerCase())) throw new StsError('tenantAlias');
    ctx.state.tenant = findTenant(directory, tenant);
    ctx.state.logFields['tid'] = ctx.state.tenant.id;
    return next();
  };
