import { createPublicKey, type KeyObject } from 'node:crypto';
import { z } from 'zod';
import type { Clock } from '../clock.ts';
import type { FetchJson } from './fetch-json.ts';

/** The issuer's discovery document or keys could not be had. */
export class IssuerUnavailableError extends Error {
  override readonly name = 'IssuerUnavailableError';
}

/** The public keys of other issuers, by issuer and `kid`. */
export interface IssuerKeys {
  /** @throws {IssuerUnavailableError} */
  find(issuer: string, kid: string): Promise<KeyObject | undefined>;
}

export interface IssuerKeysOptions {
  fetchJson: FetchJson;
  clock: Clock;
  /** The keys of an issuer that need not be fetched: local-entra's own. */
  ownKeys: (issuer: string) => ReadonlyMap<string, KeyObject> | undefined;
}

interface KnownIssuer {
  fetchedMs: number;
  keys: ReadonlyMap<string, KeyObject>;
}

/** How many issuers' keys are kept. */
const maxIssuers = 200;
const maxAgeMs = 10 * 60_000;
/** An unknown `kid` has the keys fetched again, at most this often. */
const minRefreshMs = 5000;

const configurationSchema = z.object({ jwks_uri: z.url({ protocol: /^https?$/ }) });
const keySetSchema = z.object({
  keys: z.array(z.object({ kty: z.string(), kid: z.string().optional() }).loose()),
});

const toKeys = (document: unknown): Map<string, KeyObject> => {
  const keys = new Map<string, KeyObject>();
  for (const jwk of keySetSchema.parse(document).keys) {
    if (jwk.kty !== 'RSA' || jwk.kid === undefined || (jwk['use'] ?? 'sig') !== 'sig') continue;
    keys.set(jwk.kid, createPublicKey({ key: jwk, format: 'jwk' }));
  }
  return keys;
};

/** Never quotes the document. */
const reasonOf = (error: unknown): string => {
  if (error instanceof z.ZodError) return 'its answer is no discovery document, or no key set';
  return error instanceof Error ? error.message.slice(0, 200) : String(error);
};

/** Fetches and keeps the keys of issuers. Simultaneous calls for one issuer share one fetch. */
export const createIssuerKeys = ({ fetchJson, clock, ownKeys }: IssuerKeysOptions): IssuerKeys => {
  const known = new Map<string, KnownIssuer>();
  const underway = new Map<string, Promise<KnownIssuer>>();

  const fetchKeys = async (issuer: string): Promise<KnownIssuer> => {
    try {
      const configurationUrl = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
      const { jwks_uri: keysUrl } = configurationSchema.parse(await fetchJson(configurationUrl));
      const fetched = { fetchedMs: clock(), keys: toKeys(await fetchJson(keysUrl)) };
      // The longest known one makes room: anybody can have issuers of their own fetched.
      const [oldest] = known.keys();
      if (known.size >= maxIssuers && !known.has(issuer) && oldest !== undefined) known.delete(oldest);
      known.set(issuer, fetched);
      return fetched;
    } catch (error) {
      const why = reasonOf(error);
      throw new IssuerUnavailableError(`the keys of ${issuer} could not be fetched: ${why}`, {
        cause: error,
      });
    }
  };

  const refresh = (issuer: string): Promise<KnownIssuer> => {
    const started = underway.get(issuer) ?? fetchKeys(issuer).finally(() => underway.delete(issuer));
    underway.set(issuer, started);
    return started;
  };

  return {
    find: async (issuer, kid) => {
      const own = ownKeys(issuer);
      if (own) return own.get(kid);
      const kept = known.get(issuer);
      const ageMs = kept ? Math.abs(clock() - kept.fetchedMs) : Number.POSITIVE_INFINITY;
      if (kept && ageMs < maxAgeMs && (kept.keys.has(kid) || ageMs < minRefreshMs)) return kept.keys.get(kid);
      return (await refresh(issuer)).keys.get(kid);
    },
  };
};
