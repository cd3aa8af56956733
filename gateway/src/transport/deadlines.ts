import type { Clock, Timeouts } from './transport.ts';

export const systemClock: Clock = {
  now: () => performance.now(),
  every: (ms, callback) => {
    const timer = setInterval(callback, ms);
    timer.unref();
    return () => clearInterval(timer);
  },
};

/** Something that may take too long. */
export interface Timed {
  checkDeadline(now: number): void;
}

const sweepMs = 250;

/**
 * Looks after everything that may take too long with one coarse timer: a timer for each request costs more than
 * a timeout that is exact to the millisecond is worth.
 */
export class Deadlines {
  readonly clock: Clock;
  readonly #watched = new Set<Timed>();
  #stop: (() => void) | undefined;

  constructor(clock: Clock = systemClock) {
    this.clock = clock;
  }

  add(timed: Timed): void {
    this.#watched.add(timed);
    this.#stop ??= this.clock.every(sweepMs, () => this.#sweep());
  }

  delete(timed: Timed): void {
    this.#watched.delete(timed);
  }

  #sweep(): void {
    const now = this.clock.now();
    for (const timed of this.#watched) timed.checkDeadline(now);
    // Not when the last one leaves: at a low rate each request would start and stop the timer.
    if (this.#watched.size === 0) {
      this.#stop?.();
      this.#stop = undefined;
    }
  }
}

export type Phase = 'connecting' | 'sending' | 'waiting' | 'receiving';

export type TimeoutKind = 'connect_timeout' | 'head_timeout' | 'idle_timeout';

/** Where an exchange is, and since when. */
export class Progress {
  phase: Phase = 'connecting';
  /** The sink has asked for a pause: what takes long now is not the upstream. */
  paused = false;
  /** It has, at some time. */
  everPaused = false;
  readonly #clock: Clock;
  readonly #timeouts: Timeouts;
  #since: number;

  constructor(clock: Clock, timeouts: Timeouts) {
    this.#clock = clock;
    this.#timeouts = timeouts;
    this.#since = clock.now();
  }

  enter(phase: Phase): void {
    this.phase = phase;
    this.#since = this.#clock.now();
  }

  /** How long the upstream has had the whole request without an answer to it. */
  get waitedMs(): number {
    return this.phase === 'waiting' ? this.#clock.now() - this.#since : 0;
  }

  pause(): void {
    this.paused = true;
    this.everPaused = true;
  }

  /** A piece of a body went by. */
  touch(): void {
    this.#since = this.#clock.now();
  }

  /** Which timeout has passed. */
  overdue(now: number): TimeoutKind | undefined {
    const elapsedMs = now - this.#since;
    const { connectMs, headMs, idleMs } = this.#timeouts;
    switch (this.phase) {
      case 'connecting':
        return elapsedMs > connectMs ? 'connect_timeout' : undefined;
      case 'waiting':
        return elapsedMs > headMs ? 'head_timeout' : undefined;
      default:
        return elapsedMs > idleMs && !this.paused ? 'idle_timeout' : undefined;
    }
  }
}
