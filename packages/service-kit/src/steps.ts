import { AsyncLocalStorage } from 'node:async_hooks';
import type { Middleware } from 'koa';
import type { ServiceState } from './request-context.ts';

/** A part of answering a request, as docs/cli.md describes `steps`; `at_ms` counts from the request's start. */
export interface Step {
  name: string;
  at_ms: number;
  duration_ms: number;
  outcome?: string;
}

/** A stream of records would have no end of them: of equals in a row, the last one stands for all that follow. */
const maxSteps = 20;

/** Notes in a request's completion record what took place since `startMs` (of `performance.now()`). */
export const noteStep = (state: ServiceState, name: string, startMs: number, outcome?: string): void => {
  const steps = (state.logFields['steps'] ??= []) as Step[];
  const durationMs = performance.now() - startMs;
  const last = steps.at(-1);
  if (steps.length >= maxSteps && last) {
    if (last.name === name) last.duration_ms = rounded(last.duration_ms + durationMs);
    return;
  }
  const step = { name, at_ms: rounded(startMs - state.startMs), duration_ms: rounded(durationMs) };
  steps.push(outcome === undefined ? step : { ...step, outcome });
};

/** To the microsecond. */
const rounded = (ms: number): number => Math.round(ms * 1_000) / 1_000;

/** Notes the steps of whichever request is being answered, without handing it to whatever does the work. */
export interface StepRecorder {
  middleware: Middleware<ServiceState>;
  /** As {@link noteStep}; outside of a request, nothing is noted. */
  note: (name: string, startMs: number, outcome?: string) => void;
}

export const createStepRecorder = (): StepRecorder => {
  const requests = new AsyncLocalStorage<ServiceState>();
  return {
    middleware: function recordSteps(ctx, next) {
      return requests.run(ctx.state, next);
    },
    note(name, startMs, outcome) {
      const state = requests.getStore();
      if (state) noteStep(state, name, startMs, outcome);
    },
  };
};
