const rememberedMs = 1_000;
const mostRemembered = 1_000;

/**
 * Digests of tokens that were used within this second. A caller sends its token with every request, and hashing it costs
 * more than all other checks together. For a second alone: tokens do not belong in memory for longer than needed.
 */
export class RecentDigests {
  readonly #byToken = new Map<string, string>();
  /** The one used last: to compare two tokens is cheaper than to look one up. */
  #lastToken: string | undefined;
  #lastDigest = '';

  get(token: string): string | undefined {
    return token === this.#lastToken ? this.#lastDigest : this.#byToken.get(token);
  }

  /** @param token that was verified: what anybody may send is not kept */
  add(token: string, digest: string): void {
    if (token === this.#lastToken) return;
    const { size } = this.#byToken;
    if (size === 0) setTimeout(() => this.#clear(), rememberedMs).unref();
    else if (size === mostRemembered) return;
    this.#byToken.set(token, digest);
    this.#lastToken = token;
    this.#lastDigest = digest;
  }

  #clear(): void {
    this.#byToken.clear();
    this.#lastToken = undefined;
  }
}
