import type { EntraNetwork } from '../network.ts';
import { certificateSource } from './certificate.ts';
import { clientSecretFileSource, clientSecretSource } from './client-secret.ts';
import type { CredentialSource } from './credential-source.ts';
import { federatedTokenFileSource } from './federated-token.ts';
import {
  federatedManagedIdentitySource,
  managedIdentitySource,
  type FederatedManagedIdentityOptions,
  type ManagedIdentityOptions,
} from './managed-identity.ts';

/** How an application proves who it is. Files are read again when they change. */
export type ClientCredential =
  | { readonly clientSecret: string }
  | { readonly clientSecretFile: string }
  /** PEM with private key and certificate, or PFX. */
  | { readonly certificateFile: string; readonly certificatePassword?: string }
  /** A token of another issuer: AKS workload identity. */
  | { readonly federatedTokenFile: string }
  /** The identity of the Azure resource that this runs on. */
  | { readonly managedIdentity: ManagedIdentityOptions }
  /** That identity as the proof of another application. */
  | { readonly federatedManagedIdentity: FederatedManagedIdentityOptions };

export interface CredentialDependencies {
  clientId: string;
  clock: () => number;
  platformNetwork: EntraNetwork;
}

export const createCredentialSource = (
  credential: ClientCredential,
  dependencies: CredentialDependencies,
): CredentialSource => {
  if ('clientSecret' in credential) return clientSecretSource(credential.clientSecret);
  if ('clientSecretFile' in credential) return clientSecretFileSource(credential.clientSecretFile);
  if ('certificateFile' in credential) {
    const { certificateFile: path, certificatePassword: password } = credential;
    const { clientId, clock } = dependencies;
    return certificateSource({ path, ...(password !== undefined && { password }), clientId, clock });
  }
  if ('federatedTokenFile' in credential) return federatedTokenFileSource(credential.federatedTokenFile);
  if ('managedIdentity' in credential) return managedIdentitySource(credential.managedIdentity, dependencies);
  if ('federatedManagedIdentity' in credential) {
    return federatedManagedIdentitySource(credential.federatedManagedIdentity, dependencies);
  }
  throw new TypeError('unknown kind of credential');
};
