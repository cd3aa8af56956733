const rememberedMs = 1_000;
const mostRemembered = 1_000;

/**
 * Digests of tokens that were used within this second. A caller sends its token with every request, and hashing it costs
 * more than all other checks together. For a second alone: tokens do not belong in memory for longer than needed.
 */
export class RecentDigests {
  readonly #byToken = new Map<string, string>();

  get(token: string): string | undefined {
    return this.#byToken.get(token);
  }

  /** @param token that was verified: what anybody may send is not kept */
  add(token: string, digest: string): void {
    const { size } = this.#byToken;
    if (size === mostRemembered || this.#byToken.has(token)) return;
    if (size === 0) setTimeout(() => this.#byToken.clear(), rememberedMs).unref();
    this.#byToken.set(token, digest);
  }
}
