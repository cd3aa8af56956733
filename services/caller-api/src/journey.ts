import type { ServiceState } from '@countersign/service-kit';
import type { AcquiredToken } from '@countersign/shared-auth';
import type { Middleware } from 'koa';

/** A part of answering a request; times in milliseconds, from its start. */
export interface Step {
  /** Looking for a token at hand, asking Entra for one, calling records-api. */
  name: 'token' | 'entra' | 'call';
  atMs: number;
  durationMs: number;
  outcome: string;
}

/** What may be shown of the token that a call went out with: never the token. */
export interface TokenNote {
  fromCache: boolean;
  durationMs: number;
  expiresAt: Date;
  /** App roles in it. */
  roles: readonly string[];
}

/** How the answer to one request came to be. */
export class Journey {
  readonly steps: Step[] = [];
  readonly #startMs = performance.now();
  #token: AcquiredToken | undefined;

  elapsedMs(): number {
    return performance.now() - this.#startMs;
  }

  note(name: Step['name'], atMs: number, outcome: string): void {
    this.steps.push({ name, atMs, durationMs: this.elapsedMs() - atMs, outcome });
  }

  /** Whether the token was at hand, or what Entra took for it. Without a token, Entra was asked in vain. */
  noteToken(atMs: number, token: AcquiredToken | undefined): void {
    this.#token = token;
    if (token?.fromCache) {
      this.note('token', atMs, 'hit');
      return;
    }
    this.steps.push({ name: 'token', atMs, durationMs: 0, outcome: 'miss' });
    this.note('entra', atMs, token ? 'token' : 'no token');
  }

  get token(): TokenNote | undefined {
    if (!this.#token) return undefined;
    const { accessToken, fromCache, durationMs, expiresAt } = this.#token;
    return { fromCache, durationMs, expiresAt, roles: rolesIn(accessToken) };
  }

  /** As docs/cli.md describes `steps`, and what the log of a request is searched for. */
  logFields(): Record<string, unknown> {
    if (this.steps.length === 0) return {};
    return {
      ...(this.#token && {
        token_from_cache: this.#token.fromCache,
        token_duration_ms: rounded(this.#token.durationMs),
      }),
      steps: this.steps.map(({ name, atMs, durationMs, outcome }) => ({
        name,
        at_ms: rounded(atMs),
        duration_ms: rounded(durationMs),
        outcome,
      })),
    };
  }
}

const rounded = (ms: number): number => Math.round(ms * 1_000) / 1_000;

/** For a person to look at alone: to its client a token is opaque, and no decision hangs on this. */
const rolesIn = (accessToken: string): string[] => {
  try {
    const payload = Buffer.from(accessToken.split('.')[1] ?? '', 'base64url').toString();
    const { roles } = JSON.parse(payload) as { roles?: unknown };
    return Array.isArray(roles) ? roles.map(String) : [];
  } catch {
    return [];
  }
};

export interface JourneyState extends ServiceState {
  journey: Journey;
}

/** Begins the journey of each request, and logs it with its completion. */
export const noteJourney: Middleware<JourneyState> = async function noteJourney(ctx, next) {
  const journey = new Journey();
  ctx.state.journey = journey;
  try {
    await next();
  } finally {
    Object.assign(ctx.state.logFields, journey.logFields());
  }
};
