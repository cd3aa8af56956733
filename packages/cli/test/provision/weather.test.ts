import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { Agent } from 'undici';
import { applyAll, startTestTenant, type TestTenant, wantedState, withoutAnswer } from './test-tenant.ts';

let tenant: TestTenant;
beforeEach(async () => {
  tenant = await startTestTenant();
});
afterEach(() => tenant[Symbol.asyncDispose]());

describe('weather', () => {
  test.each([
    ['429 with Retry-After', { endpoint: 'graph', status: 429, retryAfterSeconds: 7, count: 2 }, 7000],
    ['503 of a proxy', { endpoint: 'graph', status: 503, body: 'html', count: 2 }, undefined],
    ['connections cut', { endpoint: 'graph', disconnect: true, count: 2 }, undefined],
  ] as const)('%s at every step is survived', async (_, fault, waitMs) => {
    const waits: number[] = [];
    const provisioner = await tenant.open(tenant.agent, async (ms) => {
      waits.push(ms);
    });
    tenant.entra.faults.add(fault);
    const { changes } = await provisioner.plan();
    await provisioner.carryOut(changes, () => {
      tenant.entra.faults.add(fault);
    });
    expect(waits).toHaveLength(2 * (changes.length + 1));
    expect(waits.every((ms) => ms === (waitMs ?? ms))).toBe(true);
    expect(await tenant.stateOf()).toEqual(wantedState);
  });

  test('an answer that is lost at every change is survived', async () => {
    const sent = new Set<string>();
    const losing = tenant.agent.compose((dispatch) => (options, handler) => {
      const request = `${options.method} ${options.path} ${JSON.stringify(options.headers)}`;
      const isFirst = options.method !== 'GET' && !sent.has(request.replaceAll(/[\da-f-]{36}/g, ''));
      sent.add(request.replaceAll(/[\da-f-]{36}/g, ''));
      return (isFirst ? withoutAnswer(dispatch) : dispatch)(options, handler);
    });
    await applyAll(await tenant.open(losing as unknown as Agent, async () => {}));
    expect(sent.size).toBeGreaterThan(6);
    expect(await tenant.stateOf()).toEqual(wantedState);
  });

  test('secrets and grants that take a minute to be known are waited for', async () => {
    tenant.entra.delayPropagation({ secrets: 60, roles: 90 });
    const waits: number[] = [];
    const provisioner = await tenant.open(tenant.agent, async (ms) => {
      waits.push(ms);
    });
    await provisioner.carryOut((await provisioner.plan()).changes, () => {});
    expect(await provisioner.checkTokens(true)).toEqual([
      { application: 'api2', api: 'api1', isGood: true, detail: expect.stringContaining('version 2.0') },
    ]);
    expect(waits.reduce((sum, ms) => sum + ms, 0)).toBeGreaterThan(60_000);
  });

  test('Graph that never answers: a sentence, in bounded time', async () => {
    const provisioner = await tenant.open(tenant.agent, async () => {});
    tenant.entra.faults.add({ endpoint: 'graph', status: 500 });
    await expect(provisioner.plan()).rejects.toThrow(/GET .*ServiceUnavailable/);
  });
});
