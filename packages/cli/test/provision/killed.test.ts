import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { Agent } from 'undici';
import { applyAll, startTestTenant, type TestTenant, wantedState, withoutAnswer } from './test-tenant.ts';

let tenant: TestTenant;
beforeEach(async () => {
  tenant = await startTestTenant();
});
afterEach(() => tenant[Symbol.asyncDispose]());

describe('killed at any step and run again, it ends in the same state', () => {
  /** Fails for good from the n-th change on: before it is sent, or after it was answered. */
  const dyingAgent = (atChange: number, isAnswered: boolean): Agent => {
    let changes = 0;
    const dying = tenant.agent.compose((dispatch) => (options, handler) => {
      changes += options.method === 'GET' ? 0 : 1;
      if (changes < atChange) return dispatch(options, handler);
      if (changes === atChange && isAnswered && options.method !== 'GET') {
        return withoutAnswer(dispatch)(options, handler);
      }
      throw new Error('killed');
    });
    return dying as unknown as Agent;
  };

  const steps = Array.from({ length: 11 }, (_, index) => index + 1);
  test.each(
    steps.flatMap((step) => [
      [step, 'before it is sent', false] as const,
      [step, 'after it was answered', true] as const,
    ]),
  )('at change %i, %s', async (step, _, isAnswered) => {
    const killed = await tenant.open(dyingAgent(step, isAnswered), () => Promise.reject(new Error('killed')));
    const { changes } = await killed.plan();
    // The last ones: writes of files and tokens, which are no changes of Graph.
    const result = await killed.carryOut(changes, () => {}).catch((error: Error) => error.message);
    expect(result).toMatch(/killed/);
    const arrived = tenant.entra.requests
      .list()
      .filter(({ method, path }) => method !== 'GET' && path.startsWith('/v1.0'));
    expect(arrived).toHaveLength(isAnswered ? step : step - 1);
    await applyAll(await tenant.open(tenant.agent, async () => {}));
    expect(await tenant.stateOf()).toEqual(wantedState);
    expect((await tenant.provision('plan')).code).toBe(0);
  });
});
