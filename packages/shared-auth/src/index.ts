export { challengeForClaims } from './claims-challenge.ts';
export type { Claims, TokenVersion } from './claims.ts';
export { clouds } from './clouds.ts';
export * from './errors.ts';
export {
  explainToken,
  type CheckVerdict,
  type ExplainedCheck,
  type ExplainOptions,
  type TokenExplanation,
} from './explain.ts';
export * from './koa.ts';
export {
  createEntraNetwork,
  EntraNetworkError,
  type EntraNetwork,
  type EntraNetworkOptions,
  type EntraRequest,
  type EntraResponse,
} from './network.ts';
export { assertPolicy, refusalOf, type Policy } from './policy.ts';
export type { ClientCredentialKind, Principal } from './principal.ts';
export {
  createTokenSource,
  type AcquiredToken,
  type ClientCredential,
  type TokenRequest,
  type TokenSource,
  type TokenSourceOptions,
} from './token-source.ts';
export type { TrustOptions } from './trust.ts';
export {
  createTokenVerifier,
  type JwtEngine,
  type JwtVerifyOptions,
  type TokenVerifier,
  type TokenVerifierOptions,
  type VerifyOptions,
} from './verifier.ts';
