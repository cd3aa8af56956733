/**
 * Whether a pause that began at `fromMs` is over. Also when the clock was set back to before it: otherwise a pause of a
 * second would last for as long as the step.
 */
export const isOver = (fromMs: number, lengthMs: number, nowMs: number): boolean =>
  nowMs < fromMs || nowMs >= fromMs + lengthMs;
