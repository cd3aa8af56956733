import type { KeyObject } from 'node:crypto';
import type { EntraContext } from '../entra-context.ts';

/**
 * The keys of local-entra where it is the issuer of an assertion itself, as with a managed identity's token that
 * stands for an application.
 */
export const ownIssuerKeys =
  ({ origin, directory, signingKeys }: Pick<EntraContext, 'directory' | 'origin' | 'signingKeys'>) =>
  (issuer: string): ReadonlyMap<string, KeyObject> | undefined => {
    if (!issuer.startsWith(`${origin()}/`)) return undefined;
    const [tenantId = '', ...rest] = issuer.slice(origin().length + 1).split('/');
    if (!directory.findTenant(tenantId) || !['', 'v2.0'].includes(rest.join('/'))) return new Map();
    return new Map(signingKeys.published().map(({ kid, publicKey }) => [kid, publicKey]));
  };
