/**
 * One composed system under a steady load, and everything around it breaking in turn. Each case says what a client may
 * see meanwhile, and that the system heals by itself.
 */
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
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
  /** What a client may see beside 200, until it is over. */
  mayAnswer?: readonly number[];
  /** Shows that it really broke: statuses that have to be among the answers. */
  has?: readonly number[];
  /** How long after the repair a request may still fail, in milliseconds. */
  healsWithinMs?: number;
  break: (load: Load) => Promise<unknown>;
  repair?: () => Promise<unknown>;
}

const healed = { unexpected: [], missing: [], isLate: false };

/** Breaks, has two seconds' worth of answers, repairs, waits until all is well, and says what was not as it should be. */
const survive = async (
  failure: Failure,
): Promise<{ unexpected: number[]; missing: number[]; isLate: boolean }> => {
  const { mayAnswer = [], has = [], healsWithinMs = 10_000 } = failure;
  const load = startLoad(perSecond, send);
  await load.healed();
  await failure.break(load);
  await load.more(2 * perSecond);
  await failure.repair?.();
  const repairedMs = performance.now();
  await load.healed();
  // Twenty good ones in a row take a second by themselves.
  const isLate = performance.now() - repairedMs > healsWithinMs + 1_000;
  const seen = Object.keys(countStatuses(await load.stop())).map(Number);
  return {
    unexpected: seen.filter((status) => ![200, ...mayAnswer].includes(status)),
    missing: has.filter((status) => !seen.includes(status)),
    isLate,
  };
};

/** A test that tells what the containers logged when it fails. */
const explained = (body: () => Promise<void>) => (): Promise<void> => system.explained(body);

const healthy = async (service: string): Promise<unknown> =>
  system.compose('up', '--detach', '--wait', '--no-deps', service);

const fault = (input: object): Promise<unknown> => system.weather('POST', '/faults', input);
const calm = (): Promise<unknown> => system.weather('DELETE', '/faults');

describe('local-entra: whoever has a token and keys goes on', () => {
  test(
    'stopped',
    explained(async () => {
      expect(
        await survive({
          break: () => docker('stop', '--time', '1', nameOf('local-entra')),
          repair: () => docker('start', nameOf('local-entra')),
        }),
      ).toEqual(healed);
    }),
  );
  test(
    'paused',
    explained(async () => {
      expect(
        await survive({
          break: () => docker('pause', nameOf('local-entra')),
          repair: () => docker('unpause', nameOf('local-entra')),
        }),
      ).toEqual(healed);
    }),
  );
  test(
    'slow',
    explained(async () => {
      expect(
        await survive({ break: () => fault({ endpoint: 'any', latencyMs: 5_000 }), repair: calm }),
      ).toEqual(healed);
    }),
  );
  test(
    'its keys rotated, and a token signed by the new one',
    explained(async () => {
      expect(
        await survive({
          async break() {
            await system.weather('POST', '/keys/rotate', { mode: 'graceful' });
            token = await system.token('api2');
          },
        }),
      ).toEqual(healed);
    }),
  );
  test(
    'its keys replaced in an emergency, and a token signed by a new one',
    explained(async () => {
      expect(
        await survive({
          // caller-api's token of before may be refused once, until it has another.
          mayAnswer: [401, 502, 503],
          healsWithinMs: 60_000,
          async break() {
            await system.weather('POST', '/keys/rotate', { mode: 'emergency' });
            token = await system.token('api2');
          },
        }),
      ).toEqual(healed);
    }),
  );
  test(
    'its certificate replaced, and a caller that starts anew',
    explained(async () => {
      expect(
        await survive({
          mayAnswer: [502, 503, 504],
          healsWithinMs: 60_000,
          async break() {
            await docker('exec', nameOf('local-entra'), 'sh', '-c', 'rm /data/tls.pem /data/tls.key');
            await docker('restart', '--time', '1', nameOf('local-entra'));
            await healthy('local-entra');
            await docker('restart', '--time', '5', nameOf('caller-api'));
          },
          repair: () => healthy('caller-api'),
        }),
      ).toEqual(healed);
    }),
  );
  test(
    'its clock three minutes ahead',
    explained(async () => {
      expect(
        await survive({
          async break() {
            await system.weather('PUT', '/clock', { shiftSeconds: 180 });
            token = await system.token('api2');
          },
          async repair() {
            await system.weather('PUT', '/clock', { shiftSeconds: 0 });
            token = await system.token('api2');
          },
        }),
      ).toEqual(healed);
    }),
  );
});

describe('Valkey: each gateway counts for itself', () => {
  const valkey = (...command: string[]): Promise<string> =>
    docker('exec', nameOf('valkey'), 'valkey-cli', ...command);

  test(
    'stopped',
    explained(async () => {
      expect(
        await survive({
          break: () => docker('stop', '--time', '1', nameOf('valkey')),
          repair: () => docker('start', nameOf('valkey')),
        }),
      ).toEqual(healed);
    }),
  );
  test(
    'paused',
    explained(async () => {
      expect(
        await survive({
          break: () => docker('pause', nameOf('valkey')),
          repair: () => docker('unpause', nameOf('valkey')),
        }),
      ).toEqual(healed);
    }),
  );
  test(
    'full',
    explained(async () => {
      expect(
        await survive({
          async break() {
            await valkey('config', 'set', 'maxmemory-policy', 'noeviction');
            await valkey('config', 'set', 'maxmemory', '1');
          },
          repair: () => valkey('config', 'set', 'maxmemory', '67108864'),
        }),
      ).toEqual(healed);
    }),
  );
  test(
    'slow',
    explained(async () => {
      expect(await survive({ break: () => valkey('client', 'pause', '2000', 'all') })).toEqual(healed);
    }),
  );
  test(
    'wiped',
    explained(async () => {
      expect(await survive({ break: () => valkey('flushall') })).toEqual(healed);
    }),
  );
});

describe('PostgreSQL: 503 until it is back', () => {
  const unavailable = { mayAnswer: [502, 503, 504], has: [503], healsWithinMs: 60_000 };

  test(
    'restarted',
    explained(async () => {
      expect(
        await survive({
          ...unavailable,
          break: () => docker('stop', '--time', '10', nameOf('postgres')),
          repair: () => docker('start', nameOf('postgres')),
        }),
      ).toEqual(healed);
    }),
  );
  test(
    'paused',
    explained(async () => {
      expect(
        await survive({
          ...unavailable,
          async break(load) {
            await docker('pause', nameOf('postgres'));
            // Statements that hang are given up by those who wait.
            await load.more(6 * perSecond);
          },
          repair: () => docker('unpause', nameOf('postgres')),
        }),
      ).toEqual(healed);
    }),
  );
  test(
    'out of connections',
    explained(async () => {
      expect(
        await survive({
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
      ).toEqual(healed);
    }),
  );
});

test(
  'records-api: killed under load, started again',
  explained(async () => {
    expect(
      await survive({
        mayAnswer: [502, 503, 504],
        has: [502],
        break: () => docker('kill', nameOf('records-api')),
        repair: () => docker('start', nameOf('records-api')),
        healsWithinMs: 60_000,
      }),
    ).toEqual(healed);
  }),
);

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
  ])('that takes %s off %s is not noticed', (service, network) =>
    system.explained(async () => {
      expect(await survive(cut(service, network))).toEqual(healed);
    }),
  );

  test.each([
    ['gateway', 'gateway-caller'],
    ['gateway', 'gateway-records'],
    ['caller-api', 'caller-records'],
    ['records-api', 'database'],
  ])('that takes %s off %s is 502, 503 or 504, and heals', (service, network) =>
    system.explained(async () => {
      expect(await survive({ ...cut(service, network), mayAnswer: [502, 503, 504] })).toEqual(healed);
    }),
  );
});
