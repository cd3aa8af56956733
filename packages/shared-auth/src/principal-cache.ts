import { hash } from 'node:crypto';
import type { SigningKey } from './jwks.ts';
import type { Principal } from './principal.ts';

export interface PrincipalCacheOptions {
  /** Bound on the number of tokens; the one unused for longest goes first. */
  maxEntries: number;
  /** Whether a key still vouches for the tokens that it has signed. */
  trusts: (key: SigningKey, nowMs: number) => boolean;
}

/** Tokens that were verified before. An entry ends with its token's life or with the trust in its key. */
export interface PrincipalCache {
  /** @param id - of the token, by {@link digestOf} */
  get(id: string, nowMs: number): Principal | undefined;
  set(id: string, principal: Principal, key: SigningKey): void;
  size(): number;
}

interface Entry {
  readonly principal: Principal;
  readonly key: SigningKey;
  readonly expiresAtMs: number;
}

/**
 * What stands for a token in the cache. Of the whole token: a part of it, or a weak hash, would let one caller pass for
 * another. And tokens themselves do not belong in memory for longer than needed; `recent-digests.ts` has them for a second.
 */
export const digestOf = (token: string): string => hash('sha256', token, 'base64url');

export const createPrincipalCache = ({ maxEntries, trusts }: PrincipalCacheOptions): PrincipalCache => {
  let recent = new Map<string, Entry>();
  let older = new Map<string, Entry>();

  /** Two generations instead of a list: a hit costs one look-up, and at most `maxEntries` entries are held. */
  const put = (id: string, entry: Entry): void => {
    if (recent.size >= maxEntries / 2) {
      older = recent;
      recent = new Map();
    }
    recent.set(id, entry);
  };

  return {
    get(id, nowMs) {
      let entry = recent.get(id);
      if (entry === undefined) {
        entry = older.get(id);
        if (entry === undefined) return undefined;
        older.delete(id);
        put(id, entry);
      }
      if (nowMs < entry.expiresAtMs && trusts(entry.key, nowMs)) return entry.principal;
      recent.delete(id);
      return undefined;
    },
    set(id, principal, key) {
      if (maxEntries > 0) put(id, { principal, key, expiresAtMs: principal.expiresAt.getTime() });
    },
    size: () => recent.size + older.size,
  };
};
