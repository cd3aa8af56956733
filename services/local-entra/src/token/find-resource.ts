import type { ServicePrincipal } from '../directory/entities.ts';
import type { EntraContext } from '../entra-context.ts';
import { graphUri } from '../graph/graph-registration.ts';

/** An API's service principal in a tenant, by App ID URI (with or without a slash at its end) or client id. */
export const findResource = (
  { directory, origin }: Pick<EntraContext, 'directory' | 'origin'>,
  tenantId: string,
  wanted: string,
): ServicePrincipal | undefined => {
  // Graph is served here, too: clients that are told its address ask for a token for that.
  const isOwnOrigin = wanted === origin() || wanted === `${origin()}/`;
  const name = isOwnOrigin ? graphUri : wanted;
  return (
    directory.servicePrincipalByName(tenantId, name) ??
    directory.servicePrincipalByName(tenantId, name.endsWith('/') ? name.slice(0, -1) : `${name}/`)
  );
};
