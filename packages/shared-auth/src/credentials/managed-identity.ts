import { AsyncLocalStorage } from 'node:async_hooks';
import type { AuthenticationResult, ManagedIdentityApplication } from '@azure/msal-node';
import { createMsalNetwork, type AcquisitionCall } from '../msal-network.ts';
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
  currentCall: () => AcquisitionCall | undefined,
): Promise<ManagedIdentityApplication> => {
  const msal = await import('@azure/msal-node');
  const networkClient = createMsalNetwork({ network: platformNetwork, clock, currentCall });
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
  const calls = new AsyncLocalStorage<AcquisitionCall>();
  let application: Promise<ManagedIdentityApplication> | undefined;
  const load = (): Promise<ManagedIdentityApplication> => {
    application ??= createApplication(options, dependencies, () => calls.getStore()).catch(
      (error: unknown) => {
        application = undefined;
        throw error;
      },
    );
    return application;
  };
  return async (scope) => {
    const call: AcquisitionCall = { headers: {} };
    try {
      const msal = await load();
      // MSAL's own memory for these tokens is one for the whole process; ours is in front of it anyway.
      return await calls.run(call, () => msal.acquireToken({ resource: scope, forceRefresh: true }));
    } catch (error) {
      const { unavailable } = call;
      const isThrottled = unavailable?.logFields['throttled'] === true;
      throw new CredentialError(name, 'The platform hands out no token for the managed identity.', {
        cause: unavailable ?? error,
        isTransient: true,
        ...(isThrottled && { retryAfterSeconds: unavailable?.retryAfterSeconds }),
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
