const rememberedMs = 1_000;
const mostRemembered = 1_000;

/** Digests of tokens, by the tokens themselves, for a second. */
export interface RecentDigests {
  get(token: string): string | undefined;
  /** @param token that was verified: what anybody may send is not kept */
  add(token: string, digest: string): void;
}

/**
 * Knows the digests of tokens that were used within this second, and of a thousand at most. A caller sends its token with
 * every request, and hashing it costs more than all other checks together; to keep it for longer would be to keep tokens
 * in memory. By the machine's time, whatever the verifier's clock says: a digest does not end with its token.
 *
 * A map finds a token by a hash of all of it: how long that takes tells nothing about how much of it was guessed right.
 */
export const createRecentDigests = (): RecentDigests => {
  const byToken = new Map<string, string>();
  return {
    get: (token) => byToken.get(token),
    add(token, digest) {
      const { size } = byToken;
      if (size === mostRemembered || byToken.has(token)) return;
      if (size === 0) setTimeout(() => byToken.clear(), rememberedMs).unref();
      byToken.set(token, digest);
    },
  };
};
