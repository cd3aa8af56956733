import { AsyncLocalStorage } from 'node:async_hooks';
import { readFile } from 'node:fs/promises';
import { AuthError as MsalAuthError, ConfidentialClientApplication, ServerError } from '@azure/msal-node';
import { explainAadsts } from './aadsts.ts';
import { authorityOrigin } from './authority.ts';
import { isGuid } from './claims.ts';
import { IdentityUnavailableError, TokenAcquisitionError } from './errors.ts';
import { createMsalNetwork, type AcquisitionCall } from './msal-network.ts';
import type { EntraNetwork } from './network.ts';
import { spreadRetryAfter } from './retry-after.ts';

/** A client secret, or a file that holds it and is read again for every token request. */
export type ClientCredential = { clientSecret: string } | { clientSecretFile: string };

export interface TokenSourceOptions {
  /** Origin of the authority, such as `https://login.microsoftonline.com`. */
  authorityHost: URL | string;
  tenantId: string;
  /** Client id (GUID) of the application that asks. */
  clientId: string;
  credential: ClientCredential;
  network: EntraNetwork;
  /** Milliseconds since 1970, running at the pace of `Date.now`, which MSAL uses. Default `Date.now`. */
  clock?: () => number;
}

export interface TokenRequest {
  /** `<App ID URI or client id of the API>/.default`. */
  scope: string;
  /** Sent along if this call has to ask Entra: `x-request-id`, `traceparent`. */
  headers?: Readonly<Record<string, string>>;
}

export interface AcquiredToken {
  readonly accessToken: string;
  readonly expiresAt: Date;
  readonly fromCache: boolean;
  /** How long the call took, in milliseconds. */
  readonly durationMs: number;
}

/** Tokens of one application. */
export interface TokenSource {
  /**
   * A token that is still valid: from memory where possible, else from Entra, one request at a time for each scope.
   *
   * @throws TypeError unless the scope ends in `/.default`
   * @throws {@link IdentityUnavailableError} when Entra cannot be reached and no valid token is at hand
   * @throws {@link TokenAcquisitionError} when Entra refuses
   */
  getToken(request: TokenRequest): Promise<AcquiredToken>;
}

/** A token is replaced in the background when this much of its life is left … */
const refreshMarginMs = 5 * 60_000;
/** … or this part of its life, if that is less. */
const refreshMarginShare = 0.2;
/** After a failed background refresh, the next one waits for this long. */
const retryRefreshMs = 30_000;
/** After a failure without a `Retry-After`, callers without a token are answered without a request for this long. */
const coldRetryMs = 1000;

interface Entry {
  token?: { accessToken: string; expiresAtMs: number; refreshAtMs: number };
  inFlight?: Promise<AcquiredToken>;
  failure?: { error: Error; untilMs: number };
}

const toAcquisitionError = (error: unknown, call: AcquisitionCall): Error => {
  if (call.unavailable) return call.unavailable;
  if (error instanceof IdentityUnavailableError) return error;
  if (error instanceof ServerError) {
    const number = Number(error.errorNo);
    const aadsts = Number.isInteger(number) && number > 0 ? number : undefined;
    return new TokenAcquisitionError({
      error: error.errorCode,
      aadsts,
      correlationId: error.correlationId,
      explanation: explainAadsts(aadsts, error.errorCode),
    });
  }
  if (error instanceof MsalAuthError) {
    // Without the original: MSAL's messages may quote what the other side sent.
    return new IdentityUnavailableError({
      retryAfterSeconds: spreadRetryAfter(),
      logFields: { msal: error.errorCode },
    });
  }
  return error instanceof Error ? error : new Error(String(error));
};

/** Makes the token source of an application: a map in front of MSAL, which it asks once per scope and lifetime. */
export const createTokenSource = ({
  authorityHost,
  tenantId,
  clientId,
  credential,
  network,
  clock = Date.now,
}: TokenSourceOptions): TokenSource => {
  if (!isGuid(tenantId)) throw new TypeError('tenantId must be a GUID');
  if (!isGuid(clientId)) throw new TypeError('clientId must be a GUID');
  const origin = authorityOrigin(authorityHost);
  const calls = new AsyncLocalStorage<AcquisitionCall>();
  const networkClient = createMsalNetwork({ network, clock, currentCall: () => calls.getStore() });
  const entries = new Map<string, Entry>();
  let client: { secret: string; msal: ConfidentialClientApplication } | undefined;

  const readSecret = async (): Promise<string> =>
    'clientSecret' in credential
      ? credential.clientSecret
      : (await readFile(credential.clientSecretFile, 'utf8')).trim();

  /** MSAL keeps its secret for life, so a new secret means a new instance. */
  const msalClient = async (): Promise<ConfidentialClientApplication> => {
    const secret = await readSecret();
    if (client?.secret !== secret) {
      const msal = new ConfidentialClientApplication({
        auth: {
          clientId,
          authority: `${origin}/${tenantId}`,
          clientSecret: secret,
          // Saves the question whether the host is one of Microsoft's, which a host of one's own could not answer.
          knownAuthorities: [new URL(origin).host],
        },
        system: { networkClient },
      });
      client = { secret, msal };
    }
    return client.msal;
  };

  const requestToken = async (
    { scope, headers = {} }: TokenRequest,
    entry: Entry,
  ): Promise<AcquiredToken> => {
    const startMs = performance.now();
    const call: AcquisitionCall = { headers };
    const requestId = headers['x-request-id'];
    try {
      const result = await calls.run(call, async () => {
        const msal = await msalClient();
        return msal.acquireTokenByClientCredential({
          scopes: [scope],
          // A refresh has to go past the token that is being replaced.
          skipCache: entry.token !== undefined,
          ...(isGuid(requestId) && { correlationId: requestId }),
        });
      });
      if (!result?.accessToken || !result.expiresOn) throw new Error('MSAL returned no token');
      const expiresAtMs = result.expiresOn.getTime();
      const marginMs = Math.min(refreshMarginMs, (expiresAtMs - clock()) * refreshMarginShare);
      const refreshAtMs = Math.min(result.refreshOn?.getTime() ?? Infinity, expiresAtMs - marginMs);
      entry.token = { accessToken: result.accessToken, expiresAtMs, refreshAtMs };
      delete entry.failure;
      return {
        accessToken: result.accessToken,
        expiresAt: new Date(expiresAtMs),
        fromCache: result.fromCache,
        durationMs: performance.now() - startMs,
      };
    } catch (cause) {
      const error = toAcquisitionError(cause, call);
      const waitMs =
        error instanceof IdentityUnavailableError && error.logFields['status'] === 429
          ? error.retryAfterSeconds * 1000
          : coldRetryMs;
      entry.failure = { error, untilMs: clock() + waitMs };
      if (entry.token) entry.token.refreshAtMs = clock() + Math.max(waitMs, retryRefreshMs);
      throw error;
    }
  };

  /** Single flight. */
  const acquire = (request: TokenRequest, entry: Entry): Promise<AcquiredToken> => {
    entry.inFlight ??= requestToken(request, entry).finally(() => {
      delete entry.inFlight;
    });
    return entry.inFlight;
  };

  const entryOf = (scope: string): Entry => {
    let entry = entries.get(scope);
    if (entry === undefined) {
      if (!scope.endsWith('/.default')) throw new TypeError('the scope of an application ends in /.default');
      entry = {};
      entries.set(scope, entry);
    }
    return entry;
  };

  return {
    async getToken(request) {
      const entry = entryOf(request.scope);
      const now = clock();
      const { token } = entry;
      if (token && now < token.expiresAtMs) {
        // The token in hand is good whatever becomes of this; a failure is in `entry.failure`.
        if (now >= token.refreshAtMs) acquire(request, entry).catch(() => {});
        return {
          accessToken: token.accessToken,
          expiresAt: new Date(token.expiresAtMs),
          fromCache: true,
          durationMs: 0,
        };
      }
      if (entry.inFlight === undefined && entry.failure && now < entry.failure.untilMs) {
        throw entry.failure.error;
      }
      return acquire(request, entry);
    },
  };
};
