export * from './errors.ts';
export * from './koa.ts';
export {
  createEntraNetwork,
  EntraNetworkError,
  type EntraNetwork,
  type EntraNetworkOptions,
  type EntraRequest,
  type EntraResponse,
} from './network.ts';
export type { Principal } from './principal.ts';
export {
  createTokenSource,
  type AcquiredToken,
  type ClientCredential,
  type TokenRequest,
  type TokenSource,
  type TokenSourceOptions,
} from './token-source.ts';
export {
  createTokenVerifier,
  type JwtEngine,
  type JwtVerifyOptions,
  type TokenVerifier,
  type TokenVerifierOptions,
  type VerifyOptions,
} from './verifier.ts';
