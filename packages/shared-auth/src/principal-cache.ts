import { hash } from 'node:crypto';
import type { SigningKey } from './jwks.ts';
import type { Principal } from './principal.ts';

export interface PrincipalCacheOptions {
  /** Bound on the number of tokens; the one unused for longest goes first. */
  maxEntries: number;
  /** Milliseconds since 1970. */
  clock: () => number;
  /** Whether a key still vouches for the tokens that it has signed. */
  trusts: (key: SigningKey) => boolean;
}

/** Tokens that were verified before. An entry ends with its token's life or with the trust in its key. */
export interface PrincipalCache {
  get(token: string): Principal | undefined;
  set(token: string, principal: Principal, key: SigningKey): void;
  size(): number;
}

interface Entry {
  readonly principal: Principal;
  readonly key: SigningKey;
  readonly expiresAtMs: number;
}

// Of the whole token: a part of it, or a weak hash, would let one caller pass for another. And tokens themselves do not
// belong in memory for longer than needed.
const digest = (token: string): string => hash('sha256', token, 'base64url');

export const createPrincipalCache = ({
  maxEntries,
  clock,
  trusts,
}: PrincipalCacheOptions): PrincipalCache => {
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
    get(token) {
      const id = digest(token);
      let entry = recent.get(id);
      if (entry === undefined) {
        entry = older.get(id);
        if (entry === undefined) return undefined;
        older.delete(id);
        put(id, entry);
      }
      if (clock() < entry.expiresAtMs && trusts(entry.key)) return entry.principal;
      recent.delete(id);
      return undefined;
    },
    set(token, principal, key) {
      if (maxEntries > 0) put(digest(token), { principal, key, expiresAtMs: principal.expiresAt.getTime() });
    },
    size: () => recent.size + older.size,
  };
};
