import { AsyncLocalStorage } from 'node:async_hooks';
import {
  ConfidentialClientApplication,
  type AuthenticationResult,
  type ICachePlugin,
  type NodeAuthOptions,
} from '@azure/msal-node';
import type { CredentialChain } from './credentials/credential-chain.ts';
import { CredentialError, type ClientAuth, type CredentialSource } from './credentials/credential-source.ts';
import { isGuid } from './claims.ts';
import { IdentityUnavailableError, TokenAcquisitionError, type AuthError } from './errors.ts';
import { fromMsalError } from './msal-errors.ts';
import { createMsalNetwork, type AcquisitionCall } from './msal-network.ts';
import type { EntraNetwork } from './network.ts';
import { spreadRetryAfter } from './retry-after.ts';
import { isTokenAnswer } from './token-answer.ts';

export interface TokenRequesterOptions {
  /** Origin of the authority. */
  origin: string;
  tenantId: string;
  clientId: string;
  scope: string;
  credentials: CredentialChain;
  network: EntraNetwork;
  cachePlugin: ICachePlugin | undefined;
  takesClaimsChallenges: boolean;
  /** Milliseconds since 1970. */
  clock: () => number;
}

export interface Acquisition {
  /** Past MSAL's memory and the shared cache. */
  skipCache: boolean;
  claims: string | undefined;
  headers: Readonly<Record<string, string>>;
}

/** Gets tokens for one scope through MSAL. Each scope has an MSAL of its own: its memory is one for all its scopes. */
export interface TokenRequester {
  acquire(acquisition: Acquisition): Promise<AuthenticationResult>;
}

/** Entra's addresses follow from the authority, so there is nothing to discover. */
const authorityMetadata = (authority: string): string =>
  JSON.stringify({
    issuer: `${authority}/v2.0`,
    authorization_endpoint: `${authority}/oauth2/v2.0/authorize`,
    token_endpoint: `${authority}/oauth2/v2.0/token`,
    jwks_uri: `${authority}/discovery/v2.0/keys`,
  });

/** No credential is left to try. */
const withoutCredential = (error: CredentialError): AuthError => {
  const { credential, message, isTransient, cause, retryAfterSeconds } = error;
  const logFields = { credential, explanation: message };
  if (isTransient) {
    return new IdentityUnavailableError({
      retryAfterSeconds: retryAfterSeconds ?? spreadRetryAfter(),
      cause,
      logFields: { ...logFields, throttled: retryAfterSeconds !== undefined },
    });
  }
  return new TokenAcquisitionError(
    { error: 'credential_unusable', aadsts: undefined, correlationId: undefined, explanation: message },
    { logFields, cause },
  );
};

export const createTokenRequester = ({
  origin,
  tenantId,
  clientId,
  scope,
  credentials,
  network,
  cachePlugin,
  takesClaimsChallenges,
  clock,
}: TokenRequesterOptions): TokenRequester => {
  const authority = `${origin}/${tenantId}`;
  const calls = new AsyncLocalStorage<AcquisitionCall>();
  const networkClient = createMsalNetwork({
    network,
    clock,
    currentCall: () => calls.getStore(),
    isAnswer: isTokenAnswer,
  });
  let client: { source: CredentialSource; secret?: string; msal: ConfidentialClientApplication } | undefined;
  let assertion: (tokenEndpoint: string) => Promise<string>;

  const createClient = (auth: Partial<NodeAuthOptions>): ConfidentialClientApplication =>
    new ConfidentialClientApplication({
      auth: {
        clientId,
        authority,
        // Saves the question whether the host is one of Microsoft's, which a host of one's own could not answer.
        knownAuthorities: [new URL(origin).host],
        authorityMetadata: authorityMetadata(authority),
        ...(takesClaimsChallenges && { clientCapabilities: ['cp1'] }),
        ...auth,
      },
      ...(cachePlugin && { cache: { cachePlugin } }),
      system: { networkClient },
    });

  /** MSAL keeps its secret for life, so a new secret means a new instance; assertions it asks for each time. */
  const clientFor = (source: CredentialSource, auth: ClientAuth): ConfidentialClientApplication => {
    if (auth.kind === 'assertion') {
      assertion = auth.assertion;
      if (client?.source !== source) {
        const clientAssertion = ({ tokenEndpoint = '' }: { tokenEndpoint?: string }): Promise<string> =>
          assertion(tokenEndpoint);
        client = { source, msal: createClient({ clientAssertion }) };
      }
    } else if (auth.kind === 'secret' && (client?.source !== source || client.secret !== auth.secret)) {
      client = { source, secret: auth.secret, msal: createClient({ clientSecret: auth.secret }) };
    }
    return client?.msal as ConfidentialClientApplication;
  };

  const attempt = async (
    source: CredentialSource,
    { skipCache, claims, headers }: Acquisition,
  ): Promise<AuthenticationResult> => {
    const call: AcquisitionCall = { headers };
    const requestId = headers['x-request-id'];
    try {
      const auth = await source.read();
      if (auth.kind === 'platform') return await auth.acquire(scope);
      const result = await calls.run(call, () =>
        clientFor(source, auth).acquireTokenByClientCredential({
          scopes: [scope],
          skipCache,
          ...(claims !== undefined && { claims }),
          ...(isGuid(requestId) && { correlationId: requestId }),
        }),
      );
      if (result === null) throw new Error('MSAL returned no token');
      return result;
    } catch (error) {
      throw call.unavailable ?? fromMsalError(error, { clientId, scope, credential: source.name });
    }
  };

  return {
    async acquire(acquisition) {
      try {
        return await credentials.run((source) => attempt(source, acquisition));
      } catch (error) {
        throw error instanceof CredentialError ? withoutCredential(error) : error;
      }
    },
  };
};
