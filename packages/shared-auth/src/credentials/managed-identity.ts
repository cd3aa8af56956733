import type { AuthenticationResult, ManagedIdentityApplication } from '@azure/msal-node';
import { createMsalNetwork } from '../msal-network.ts';
import type { EntraNetwork } from '../network.ts';
import { CredentialError, type CredentialSource } from './credential-source.ts';

export interface ManagedIdentityOptions {
  /** Client id of a user-assigned identity. Default: the system-assigned one. */
  clientId?: string;
}

interface ManagedIdentityDependencies {
  /** Reaches the platform's own addresses, which are plain http on this machine. */
  platformNetwork: EntraNetwork;
  /** Milliseconds since 1970. */
  clock: () => number;
}

type Acquire = (scope: string) => Promise<AuthenticationResult>;

/** MSAL finds out which platform this is, by the variables that the platform sets. */
const createApplication = async (
  { clientId }: ManagedIdentityOptions,
  { platformNetwork, clock }: ManagedIdentityDependencies,
): Promise<ManagedIdentityApplication> => {
  const msal = await import('@azure/msal-node');
  const networkClient = createMsalNetwork({ network: platformNetwork, clock, currentCall: () => undefined });
  return new msal.ManagedIdentityApplication({
    ...(clientId !== undefined && { managedIdentityIdParams: { userAssignedClientId: clientId } }),
    system: { networkClient, disableInternalRetries: true },
  });
};

const managedIdentity = (
  name: string,
  options: ManagedIdentityOptions,
  dependencies: ManagedIdentityDependencies,
): Acquire => {
  let application: Promise<ManagedIdentityApplication> | undefined;
  return async (scope) => {
    try {
      application ??= createApplication(options, dependencies);
      // MSAL's own memory for these tokens is one for the whole process; ours is in front of it anyway.
      return await (await application).acquireToken({ resource: scope, forceRefresh: true });
    } catch (error) {
      throw new CredentialError(name, 'The platform hands out no token for the managed identity.', {
        cause: error,
        isTransient: true,
      });
    }
  };
};

/** A managed identity that is itself the application. */
export const managedIdentitySource = (
  options: ManagedIdentityOptions,
  dependencies: ManagedIdentityDependencies,
): CredentialSource => {
  const acquire = managedIdentity('managedIdentity', options, dependencies);
  return { name: 'managedIdentity', read: async () => ({ kind: 'platform', acquire }) };
};

export interface FederatedManagedIdentityOptions extends ManagedIdentityOptions {
  /** Audience of the federated credential. Default `api://AzureADTokenExchange`. */
  audience?: string;
}

/** A managed identity whose token proves another application, which has a federated credential for it. */
export const federatedManagedIdentitySource = (
  { audience = 'api://AzureADTokenExchange', ...options }: FederatedManagedIdentityOptions,
  dependencies: ManagedIdentityDependencies,
): CredentialSource => {
  const acquire = managedIdentity('federatedManagedIdentity', options, dependencies);
  return {
    name: 'federatedManagedIdentity',
    read: async () => ({
      kind: 'assertion',
      assertion: async () => (await acquire(audience)).accessToken,
    }),
  };
};
