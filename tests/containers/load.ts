export interface Answer {
  /** 0 where there was none. */
  status: number;
  /** When it was sent, in milliseconds since the load began. */
  atMs: number;
  durationMs: number;
  requestId: string;
}

export interface Load {
  readonly answers: readonly Answer[];
  /** Resolves when so many more answers have come. */
  more(count: number): Promise<void>;
  /**
   * Resolves when so many requests in a row, all sent from now on, were answered with 2xx.
   *
   * @param count default 20
   * @param withinMs when to give up and reject, default 90 seconds
   */
  healed(count?: number, withinMs?: number): Promise<void>;
  /** Ends it, and waits for those in flight. */
  stop(): Promise<readonly Answer[]>;
}

const mostInFlight = 64;

/**
 * Sends requests at a steady pace, whether or not earlier ones were answered, up to a bound.
 *
 * @param send one request; resolves to its status, rejects where there is no answer.
 */
export const startLoad = (perSecond: number, send: (requestId: string) => Promise<number>): Load => {
  const startMs = performance.now();
  const answers: Answer[] = [];
  const waiting = new Set<() => void>();
  const inFlight = new Set<Promise<void>>();
  let sent = 0;

  const sendOne = async (): Promise<void> => {
    const atMs = performance.now() - startMs;
    const requestId = `load-${process.pid}-${(sent += 1)}`;
    const status = await send(requestId).catch(() => 0);
    answers.push({ status, atMs, durationMs: performance.now() - startMs - atMs, requestId });
    for (const look of waiting) look();
  };
  const timer = setInterval(() => {
    // A late timer catches up, so that the pace is that of the clock.
    const due = Math.min(
      ((performance.now() - startMs) / 1_000) * perSecond - sent,
      mostInFlight - inFlight.size,
    );
    for (let index = 0; index < due; index += 1) {
      const sending = sendOne().finally(() => inFlight.delete(sending));
      inFlight.add(sending);
    }
  }, 5);

  const until = (isReached: () => boolean, withinMs = 90_000): Promise<void> =>
    new Promise((resolve, reject) => {
      const giveUp = setTimeout(() => {
        waiting.delete(look);
        const latest = countStatuses(answers.slice(-100));
        reject(new Error(`not within ${withinMs} ms; the latest answers: ${JSON.stringify(latest)}`));
      }, withinMs);
      const look = (): void => {
        if (!isReached()) return;
        waiting.delete(look);
        clearTimeout(giveUp);
        resolve();
      };
      waiting.add(look);
      look();
    });

  return {
    answers,
    more(count) {
      const wanted = answers.length + count;
      return until(() => answers.length >= wanted);
    },
    healed(count = 20, withinMs) {
      const sinceMs = performance.now() - startMs;
      return until(() => {
        const recent = answers.filter(({ atMs }) => atMs >= sinceMs).slice(-count);
        return recent.length === count && recent.every(isGood);
      }, withinMs);
    },
    async stop() {
      clearInterval(timer);
      await Promise.all(inFlight);
      return answers;
    },
  };
};

export const isGood = ({ status }: Answer): boolean => status >= 200 && status < 300;

/** How often each status was answered. */
export const countStatuses = (answers: readonly Answer[]): Record<number, number> => {
  const counts: Record<number, number> = {};
  for (const { status } of answers) counts[status] = (counts[status] ?? 0) + 1;
  return counts;
};
