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

/** Notes the parts of each request for its completion record, without handing the request to whatever does the work. */
export interface StepRecorder {
  /** Comes after the access log. */
  middleware: Middleware<ServiceState>;
  /** Notes what took place since `startMs` (of `performance.now()`), if a request is being answered here. */
  note: (name: string, startMs: number, outcome?: string) => void;
}

/** A stream of records would have no end of them: of equals in a row, the last one stands for all that follow. */
const maxSteps = 20;

interface Recording {
  startMs: number;
  steps: Step[];
  logFields: ServiceState['logFields'];
}

export const createStepRecorder = (): StepRecorder => {
  const recordings = new AsyncLocalStorage<Recording>();
  return {
    middleware: function recordSteps(ctx, next) {
      const { logFields } = ctx.state;
      return recordings.run({ startMs: performance.now(), steps: [], logFields }, next);
    },
    note(name, startMs, outcome) {
      const recording = recordings.getStore();
      if (!recording) return;
      const { steps, logFields } = recording;
      // Now, and not when the stack is through: an answer that is streamed goes on after that.
      logFields['steps'] = steps;
      const durationMs = performance.now() - startMs;
      const last = steps.at(-1);
      if (steps.length >= maxSteps && last) {
        if (last.name === name) last.duration_ms = rounded(last.duration_ms + durationMs);
        return;
      }
      const at = { name, at_ms: rounded(startMs - recording.startMs), duration_ms: rounded(durationMs) };
      steps.push(outcome === undefined ? at : { ...at, outcome });
    },
  };
};

/** To the microsecond. */
export const rounded = (ms: number): number => Math.round(ms * 1_000) / 1_000;
