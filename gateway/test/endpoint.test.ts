import { expect, test } from '@jest/globals';
import type { Transport } from '../src/transport/transport.ts';
import { createEndpoint, type Endpoint, type EndpointState } from '../src/upstream/endpoint.ts';

const start = (failures = 1) => {
  const clock = { now: 0 };
  const states: EndpointState['state'][] = [];
  const endpoint = createEndpoint({
    origin: 'http://127.0.0.1:1',
    host: 'x',
    transport: { stats: { open: 0 } } as Transport,
    failures,
    ejectMs: 100,
    now: () => clock.now,
    onChange: ({ state }) => states.push(state),
  });
  return { endpoint, clock, states };
};

/** An address that may be tried again. */
const startEjected = () => {
  const started = start();
  const { endpoint, clock } = started;
  const before = endpoint.begin();
  endpoint.begin().end(false);
  expect(endpoint.isAvailable()).toBe(false);
  clock.now = 100;
  expect(endpoint.isAvailable()).toBe(true);
  return { ...started, before };
};

const expectWhole = (endpoint: Endpoint): void =>
  expect(endpoint.state()).toMatchObject({ state: 'available', outstanding: 0, failuresInARow: 0 });

test('an address on trial gets one request; one that tells nothing leaves it to the next', () => {
  const { endpoint, before } = startEjected();
  before.end(undefined);
  const trial = endpoint.begin();
  expect(endpoint.isAvailable()).toBe(false);
  trial.end(undefined);
  expect(endpoint.isAvailable()).toBe(true);
  endpoint.begin().end(true);
  expectWhole(endpoint);
});

test('a trial that is not over after ejectMs does not keep the next one waiting', () => {
  const { endpoint, clock, before } = startEjected();
  before.end(undefined);
  const slow = endpoint.begin();
  clock.now = 199;
  expect(endpoint.isAvailable()).toBe(false);
  clock.now = 200;
  expect(endpoint.isAvailable()).toBe(true);
  const next = endpoint.begin();
  expect(endpoint.isAvailable()).toBe(false);
  next.end(true);
  slow.end(undefined);
  expectWhole(endpoint);
});

test('a trial that others have overtaken leaves the address out when it fails, for longer each time', () => {
  const { endpoint, clock, states, before } = startEjected();
  before.end(undefined);
  const slow = endpoint.begin();
  clock.now = 200;
  const next = endpoint.begin();
  slow.end(false);
  expect(states).toEqual(['ejected', 'ejected']);
  clock.now = 399;
  expect(endpoint.isAvailable()).toBe(false);
  // Nor does it tell how the address is now.
  next.end(false);
  expect(states).toEqual(['ejected', 'ejected']);
  clock.now = 400;
  const third = endpoint.begin();
  third.end(true);
  expectWhole(endpoint);
});

test('the head of its answer ends a trial, however long the rest takes', () => {
  const { endpoint, states, before } = startEjected();
  const trial = endpoint.begin();
  trial.answered();
  expect(endpoint.isAvailable()).toBe(true);
  expect(states).toEqual(['ejected', 'available']);
  trial.end(true);
  before.end(undefined);
  expectWhole(endpoint);
});

test.each([undefined, true, false])(
  'a request from before the ejection that ends %p leaves the trial alone',
  (worked) => {
    const { endpoint, clock, states, before } = startEjected();
    const trial = endpoint.begin();
    before.answered();
    before.end(worked);
    expect(endpoint.isAvailable()).toBe(false);
    expect(states).toEqual(['ejected']);
    trial.end(false);
    clock.now = 299;
    expect(endpoint.isAvailable()).toBe(false);
    clock.now = 300;
    expect(endpoint.isAvailable()).toBe(true);
  },
);

test('answers that all break off after their head leave an address out', () => {
  const { endpoint, states } = start(3);
  for (let count = 0; count < 3; count += 1) {
    const use = endpoint.begin();
    use.answered();
    use.end(false);
  }
  expect(states).toEqual(['ejected']);
});

test('a health check that finds it well ends a trial', () => {
  const { endpoint, before } = startEjected();
  const trial = endpoint.begin();
  endpoint.setHealthy(false);
  endpoint.setHealthy(true);
  expect(endpoint.isAvailable()).toBe(true);
  trial.end(true);
  before.end(true);
  expectWhole(endpoint);
});
