export { bearerToken, type RequestCredentials } from './bearer.ts';
export { challengeForClaims } from './claims-challenge.ts';
export type { Claims, TokenVersion } from './claims.ts';
export { clouds } from './clouds.ts';
export {
  createDownstreamApi,
  type DownstreamApi,
  type DownstreamApiOptions,
  type DownstreamRequest,
  type DownstreamResponse,
} from './downstream/downstream-api.ts';
export {
  DownstreamError,
  type DownstreamFailure,
  type DownstreamProblem,
} from './downstream/downstream-error.ts';
export * from './errors.ts';
export {
  explainToken,
  type CheckVerdict,
  type ExplainedCheck,
  type ExplainOptions,
  type TokenExplanation,
} from './explain.ts';
export { UnknownTenantError } from './jwks.ts';
export * from './koa.ts';
export { azureApplication, type AzureApplication } from './credentials/azure-environment.ts';
export type { ClientCredential } from './credentials/client-credential.ts';
export type {
  FederatedManagedIdentityOptions,
  ManagedIdentityOptions,
} from './credentials/managed-identity.ts';
export {
  createEntraNetwork,
  createPlatformNetwork,
  EntraNetworkError,
  type EntraNetwork,
  type EntraNetworkOptions,
  type EntraRequest,
  type EntraResponse,
} from './network.ts';
export type { ProxyVariables } from './https-agent.ts';
export type { AcquisitionReason, AuthObserver, Outcome } from './observer.ts';
export { assertPolicy, refusalOf, type Policy } from './policy.ts';
export type { ClientCredentialKind, Principal } from './principal.ts';
export {
  createSharedTokenCache,
  type SharedTokenCache,
  type SharedTokenCacheOptions,
  type SharedTokenCacheStats,
  type TokenPartition,
  type TokenStore,
} from './shared-token-cache.ts';
export type { CacheKey } from './token-cipher.ts';
export {
  createTokenSource,
  type AcquiredToken,
  type TokenRequest,
  type TokenSource,
  type TokenSourceOptions,
  type TokenSourceStats,
} from './token-source.ts';
export {
  createRedisTokenStore,
  type RedisTokenStore,
  type RedisTokenStoreOptions,
} from './redis-token-store.ts';
export type { TrustOptions } from './trust.ts';
export {
  createTokenVerifier,
  type TokenVerifier,
  type TokenVerifierOptions,
  type TokenVerifierStats,
  type VerifyOptions,
} from './verifier.ts';
