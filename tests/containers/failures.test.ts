/**
 * One composed system under a steady load, and everything around it breaking in turn. Each case says what a client may
 * see meanwhile, and that the system heals by itself.
 */
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { checkLines } from '../system/test-system.ts';
import { type ComposedSystem, docker, startComposedSystem } from './composed-system.ts';
import { countStatuses, type Load, startLoad } from './load.ts';

jest.setTimeout(240_000);

const perSecond = 20;

let system: ComposedSystem;
let token = '';
beforeAll(async () => {
  system = await startComposedSystem(['tests/containers/failures.yaml']);
  token = await system.token('api2');
}, 400_000);
afterAll(() => system?.[Symbol.asyncDispose](), 60_000);

const nameOf = (service: string): string => `${system.project}-${service}-1`;

/** Both ways in, in turn. Whoever has waited 35 seconds got no answer. */
const send = async (requestId: string): Promise<number> => {
  const path = Number(requestId.split('-').at(-1)) % 2 === 0 ? '/api/records' : '/caller/records';
  const response = await system.fetch(`${system.gatewayUrl}${path}`, {
    headers: {
      'x-request-id': requestId,
      ...(path.startsWith('/api') && { authorization: `Bearer ${token}` }),
    },
    signal: AbortSignal.timeout(35_000),
  });
  await response.arrayBuffer();
  return response.status;
};

interface Failure {
  break: (load: Load) => Promise<unknown>;
  repair?: () => Promise<unknown>;
  /** What a client may see beside 200 until all is well again. Default: nothing. */
  mayAnswer?: readonly number[];
  /** One of these a client has to see: otherwise nothing was broken. */
  mustAnswer?: readonly number[];
  /** How long after the repair a request may still fail, in milliseconds. Default 10 seconds. */
  healsWithinMs?: number;
  /** Whether services say that it is over; asked while the load goes on. */
  isOver?: () => Promise<boolean>;
}

/** Breaks, has two seconds' worth of answers, repairs, and waits until all is well. */
const survive = async (name: string, failure: Failure): Promise<void> => {
  const { mustAnswer = [], mayAnswer = mustAnswer, healsWithinMs = 10_000 } = failure;
  const load = startLoad(perSecond, send);
  try {
    await load.healed();
    await failure.break(load);
    await load.more(2 * perSecond);
    await failure.repair?.();
    const repairedMs = performance.now();
    // Twenty good ones in a row take a second by themselves.
    await load.healed(20, healsWithinMs + 1_000);
    const healedMs = performance.now() - repairedMs - 1_000;
    while (failure.isOver && !(await failure.isOver())) await load.more(perSecond);
    const answers = await load.stop();
    const statuses = countStatuses(answers);
    const slowestMs = Math.max(...answers.map(({ durationMs }) => durationMs));
    process.stderr.write(
      `${name}: ${JSON.stringify(statuses)}, slowest ${Math.round(slowestMs)} ms, well ${Math.max(0, Math.round(healedMs))} ms after the repair\n`,
    );
    const seen = Object.keys(statuses).map(Number);
    expect(seen.filter((status) => ![200, ...mayAnswer].includes(status))).toEqual([]);
    if (mustAnswer.length > 0) expect(mustAnswer.some((status) => seen.includes(status))).toBe(true);
  } finally {
    await load.stop();
  }
};

/** A test that tells what the containers logged when it fails. */
const survives = (name: string, failure: () => Failure): Promise<void> =>
  system.explained(() => survive(name, failure()));

type Case = [name: string, failure: () => Failure];

const healthy = (service: string): Promise<unknown> =>
  system.compose('up', '--detach', '--wait', '--no-deps', service);
const renewed = (service: string): Promise<unknown> =>
  system.compose('up', '--detach', '--wait', '--no-deps', '--force-recreate', service);

const stopped = (service: string): Failure => ({
  break: () => docker('stop', '--time', '1', nameOf(service)),
  repair: () => docker('start', nameOf(service)),
});
const paused = (service: string): Failure => ({
  break: () => docker('pause', nameOf(service)),
  repair: () => docker('unpause', nameOf(service)),
});

let shiftedMs = 0;
/** The same, and ten minutes go by before the repair. */
const forTenMinutes = (failure: Failure): Failure => ({
  ...failure,
  async break(load) {
    await failure.break(load);
    for (let minute = 0; minute < 10; minute += 1) {
      shiftedMs += 60_000;
      await system.shiftClocks(shiftedMs);
      await load.more(perSecond / 2);
    }
    const { time } = JSON.parse(await docker('logs', '--tail', '1', nameOf('gateway'))) as { time: string };
    expect(Date.parse(time) - Date.now()).toBeGreaterThan(shiftedMs - 60_000);
  },
});

describe('local-entra: whoever has a token and keys goes on', () => {
  const fault = (input: object): Promise<unknown> => system.weather('POST', '/faults', input);
  const calm = (): Promise<unknown> => system.weather('DELETE', '/faults');
  const slow = (): Promise<unknown> => fault({ endpoint: 'any', latencyMs: 3_000 });

  test.each<Case>([
    ['local-entra stopped', () => stopped('local-entra')],
    ['local-entra paused', () => paused('local-entra')],
    ['local-entra slow', () => ({ break: slow, repair: calm })],
    [
      'local-entra slow, and a caller that starts anew',
      () => ({
        mustAnswer: [502, 503, 504],
        healsWithinMs: 60_000,
        async break() {
          await slow();
          await docker('restart', '--time', '5', nameOf('caller-api'));
          await healthy('caller-api');
        },
        repair: calm,
      }),
    ],
    [
      'local-entra: its keys rotated, and a token signed by the new one',
      () => ({
        async break() {
          await system.weather('POST', '/keys/rotate', { mode: 'graceful' });
          token = await system.token('api2');
        },
      }),
    ],
    [
      'local-entra: its keys replaced in an emergency, and a token signed by a new one',
      () => ({
        // caller-api's token of before may be refused once, until it has another.
        mayAnswer: [401, 502, 503],
        healsWithinMs: 60_000,
        async break() {
          await system.weather('POST', '/keys/rotate', { mode: 'emergency' });
          token = await system.token('api2');
        },
      }),
    ],
    [
      'local-entra: its certificate replaced, and a caller that starts anew',
      () => ({
        mustAnswer: [502, 503, 504],
        healsWithinMs: 60_000,
        async break() {
          await docker('exec', nameOf('local-entra'), 'sh', '-c', 'rm /data/tls.pem /data/tls.key');
          await docker('restart', '--time', '1', nameOf('local-entra'));
          await healthy('local-entra');
          await docker('restart', '--time', '5', nameOf('caller-api'));
        },
        repair: () => healthy('caller-api'),
      }),
    ],
    [
      'local-entra: its clock three minutes ahead',
      () => ({
        async break() {
          await system.weather('PUT', '/clock', { shiftSeconds: 180 });
          token = await system.token('api2');
        },
        async repair() {
          await system.weather('PUT', '/clock', { shiftSeconds: 0 });
          token = await system.token('api2');
        },
      }),
    ],
    ['local-entra stopped for ten minutes', () => forTenMinutes(stopped('local-entra'))],
  ])('%s', (name, failure) => survives(name, failure));
});

describe('Valkey: the gateway counts for itself, and says so', () => {
  const valkey = (...command: string[]): Promise<string> =>
    docker('exec', nameOf('valkey'), 'valkey-cli', ...command);

  const noticed = (failure: Failure): Failure => {
    let since = '';
    return {
      ...failure,
      break(load) {
        since = new Date().toISOString();
        return failure.break(load);
      },
      async isOver() {
        const log = await docker('logs', '--since', since, nameOf('gateway'));
        const fails = log.lastIndexOf('this process counts for itself');
        return fails !== -1 && log.lastIndexOf('counted together again') > fails;
      },
    };
  };

  test.each<Case>([
    ['Valkey stopped', () => noticed(stopped('valkey'))],
    ['Valkey paused', () => noticed(paused('valkey'))],
    [
      'Valkey full',
      () =>
        noticed({
          async break() {
            await valkey('config', 'set', 'maxmemory-policy', 'noeviction');
            await valkey('config', 'set', 'maxmemory', '1');
          },
          repair: () => valkey('config', 'set', 'maxmemory', '67108864'),
        }),
    ],
    ['Valkey slow', () => noticed({ break: () => valkey('client', 'pause', '2000', 'all') })],
    ['Valkey wiped', () => ({ break: () => valkey('flushall') })],
    ['Valkey stopped for ten minutes', () => noticed(forTenMinutes(stopped('valkey')))],
  ])('%s', (name, failure) => survives(name, failure));
});

describe('PostgreSQL: 503 until it is back', () => {
  const unavailable = { mayAnswer: [502, 503, 504], mustAnswer: [503], healsWithinMs: 60_000 };

  test.each<Case>([
    ['PostgreSQL restarted', () => ({ ...unavailable, ...stopped('postgres') })],
    [
      'PostgreSQL paused',
      () => ({
        ...unavailable,
        ...paused('postgres'),
        async break(load) {
          await paused('postgres').break(load);
          // Statements that hang are given up by those who wait.
          await load.more(6 * perSecond);
        },
      }),
    ],
    [
      'PostgreSQL out of connections',
      () => ({
        ...unavailable,
        async break() {
          const grab =
            'for i in $(seq 20); do psql -qU records -c "select pg_sleep(600)" records & done; wait';
          await docker('exec', '--detach', nameOf('postgres'), 'bash', '-c', grab);
          // Those of records-api end, and others are first to take their place.
          const end = `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'records-api'`;
          await docker('exec', '--detach', nameOf('postgres'), 'bash', '-c', grab.replace('20', '30'));
          await docker('exec', nameOf('postgres'), 'psql', '-qU', 'records', '-c', end, 'records').catch(
            () => undefined,
          );
        },
        repair: () => docker('restart', '--time', '5', nameOf('postgres')),
      }),
    ],
  ])('%s', (name, failure) => survives(name, failure));
});

test.each<Case>([
  [
    'records-api killed, and started again',
    () => ({
      mayAnswer: [502, 503, 504],
      mustAnswer: [502],
      healsWithinMs: 60_000,
      break: () => docker('kill', nameOf('records-api')),
      repair: () => docker('start', nameOf('records-api')),
    }),
  ],
])('%s', (name, failure) => survives(name, failure));

describe('a network cut', () => {
  const cut = (service: string, network: string): Failure => ({
    break: () => docker('network', 'disconnect', `${system.project}_${network}`, nameOf(service)),
    repair: () => docker('network', 'connect', `${system.project}_${network}`, nameOf(service)),
    healsWithinMs: 60_000,
  });

  test.each([
    ['gateway', 'gateway-entra'],
    ['caller-api', 'caller-entra'],
    ['records-api', 'records-entra'],
    ['gateway', 'limits'],
    ['caller-api', 'tokens'],
  ])('that takes %s off %s is not noticed', (service, network) =>
    survives(`${network} cut`, () => cut(service, network)),
  );

  test.each([
    ['gateway', 'gateway-caller'],
    ['gateway', 'gateway-records'],
    ['caller-api', 'caller-records'],
    ['records-api', 'database'],
  ])('that takes %s off %s is 502, 503 or 504, and heals', (service, network) =>
    survives(`${network} cut`, () => ({ ...cut(service, network), mustAnswer: [502, 503, 504] })),
  );
});

test('what was logged meanwhile: every line is JSON, none has a token or a secret', async () => {
  const lines = await system.lines();
  expect(lines.length).toBeGreaterThan(1_000);
  checkLines(lines, await system.secrets());
});

describe('replaced by a new container under load', () => {
  test.each<Case>([
    ['local-entra replaced', () => ({ break: () => renewed('local-entra') })],
    ['Valkey replaced', () => ({ break: () => renewed('valkey') })],
  ])('%s', (name, failure) => survives(name, failure));
});
