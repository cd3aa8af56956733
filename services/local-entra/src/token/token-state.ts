import type { ServiceState } from '@countersign/service-kit';
import type { Application, AppRole, ServicePrincipal, Tenant } from '../directory/entities.ts';

/** Which of the two token endpoints was asked. The token's own format is the resource's choice. */
export type EndpointVersion = 1 | 2;

/** How a client proved who it is, as the tokens' `azpacr` says it: 1 secret, 2 certificate or federated token. */
export type ClientAuthentication = '1' | '2';

/** What the steps of the token endpoint find out, in this order; each step may rely on those before it. */
export interface TokenState extends ServiceState {
  parameters: ReadonlyMap<string, string>;
  tenant: Tenant;
  client: ServicePrincipal;
  clientApplication: Application;
  clientAuthentication: ClientAuthentication;
  /** The resource's name as the request gives it. */
  requestedResource: string;
  resource: ServicePrincipal;
  resourceApplication: Application;
  roles: readonly AppRole[];
}
