export interface CallerWindow {
  /** Requests that were counted in it. */
  used: number;
  endsAtMs: number;
}

/** Counts requests in windows of one length; a caller's begins with its first request. */
export class CallerWindows {
  readonly #lengthMs: number;
  #turnedAtMs = -Infinity;
  #recent = new Map<string, CallerWindow>();
  #older = new Map<string, CallerWindow>();

  constructor(lengthMs: number) {
    this.#lengthMs = lengthMs;
  }

  /** Counts one more request, and gives the window that it is in. */
  count(caller: string, nowMs: number): CallerWindow {
    if (nowMs >= this.#turnedAtMs + this.#lengthMs) this.#turn(nowMs);
    let window = this.#recent.get(caller) ?? this.#older.get(caller);
    if (window === undefined || nowMs >= window.endsAtMs) {
      window = { used: 0, endsAtMs: nowMs + this.#lengthMs };
      this.#recent.set(caller, window);
    }
    window.used += 1;
    return window;
  }

  /** Forgets windows that have ended: all that began before the last turn. */
  #turn(nowMs: number): void {
    this.#older = this.#recent;
    this.#recent = new Map();
    this.#turnedAtMs = nowMs;
  }
}
